"""Demo: find a circuit that was planted, and say whether it was found.

What: a small transformer whose weights were constructed, so that every node's role and
effect is known in advance; the whole pipeline runs on it as on any checkpoint.
Command: make demo, or mcq-jax run configs/demo.py
Time: about a minute on 2 cores.
Expect: "A circuit was found"; the four sets of nodes and all head classes agree with
what was planted.
"""

from mcq_jax.experiments import USUAL, EarlierPositions, RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="Demo: a planted circuit",
        model="planted",
        questions="planted",
        question_count=24,
        effect_questions=24,
        experiments=(*USUAL, EarlierPositions(questions=6)),
        out="runs/demo",
    )
