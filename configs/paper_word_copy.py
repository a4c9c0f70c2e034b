"""The paper's second half on word copy: head kinds, routes of the answer.

Command: mcq-jax run configs/paper_word_copy.py
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: see docs/findings.md.
Expect: see docs/findings.md.
"""

from mcq_jax.experiments import USUAL, HeadKinds, Routes, RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="The paper's second half: Qwen2.5-Coder-1.5B on word copy",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="word_copy",
        question_count=40,
        effect_questions=24,
        experiments=(*USUAL, HeadKinds(), Routes()),
        out="runs/paper-word-copy",
    )
