"""Known texts and found letters: the same questions with options, and without.

Command: mcq-jax run configs/cloze.py --questions PATH/mmlu --model PATH/model.gguf
Time: 3 CPU minutes for 135M parameters.
Expect: a small model may find the text (38 % of SmolLM2-135M's) where its letter is
chance; see docs/findings.md.
"""

from mcq_jax.experiments import Behaviour, Cloze, RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="Known texts and found letters",
        model="models/smollm2-135m-instruct-q4_1.gguf",
        questions="data/mmlu",
        question_count=100,
        longest_prompt=160,
        experiments=(Behaviour(), Cloze()),
        out="runs/cloze",
    )
