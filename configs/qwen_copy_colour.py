"""Qwen2.5-Coder-1.5B-Instruct on copy colour: the answer stands in the question.

What: corn is yellow, what color is corn? No knowledge is needed, only the letter.
Command: mcq-jax run configs/qwen_copy_colour.py
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: about 15 minutes on 2 cores.
Expect: a circuit of 11 nodes that restores 0.8 of the net logit on held-out questions,
random sets 0.1, and L22H7 as a correct-letter head; see docs/findings.md.
"""

from mcq_jax.experiments import RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="Copy colour",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="copy_colour",
        question_count=40,
        effect_questions=12,
        out="runs/qwen-copy-colour",
    )
