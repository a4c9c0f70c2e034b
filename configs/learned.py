"""The learned model that comes with the package: the whole main job on a real circuit.

What: 0.2M parameters that learned multiple choice (configs/train_learned.py), on
questions of its own kind; nobody planted what is found here.
Command: make demo, or mcq-jax run configs/learned.py
Time: about a minute on 2 cores that others share; 27 seconds of one.
Expect: 99.5 % right, 98.9 % in all rotations; 4 of 20 nodes restore 0.81 of held-out
net logit (random ones 0.19); the answer comes over the options' ends (without them
0.25 is left), not over labels (1.08), and so no head is a correct-letter head.
"""

from mcq_jax.experiments import USUAL, PaperClaims, Routes, RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="A learned circuit",
        model="learned",
        questions="learned",
        effect_questions=24,
        batch=32,
        experiments=(*USUAL, Routes(windows=4), PaperClaims()),
        out="runs/demo-learned",
    )
