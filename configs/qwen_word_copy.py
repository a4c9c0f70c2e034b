"""Qwen2.5-Coder-1.5B-Instruct on word copy: the same circuit question in minutes.

What: which option is the word "apple"? No knowledge is needed, only the letter.
Command: mcq-jax run configs/qwen_word_copy.py
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: about 15 minutes on 2 cores.
Expect: a circuit of 13 nodes that restores 0.8 of the net logit on held-out questions,
random sets 0.15, and L22H7 as a correct-letter head; see docs/findings.md.
"""

from mcq_jax.experiments import RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="Word copy",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="word_copy",
        question_count=40,
        effect_questions=12,
        out="runs/qwen-word-copy",
    )
