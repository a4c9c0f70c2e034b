"""Qwen2.5-Coder-1.5B-Instruct on MMLU, asked in the paper's style.

What: "Does Circuit Analysis Interpretability Scale?" on an open model: behaviour on all
questions; node effects, joint tests and head classes on 50 that it answers in every
rotation.
Command: mcq-jax run configs/qwen_mmlu.py --questions PATH/mmlu
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: about an hour and a half on 2 cores.
Expect: see docs/findings.md.
"""

from mcq_jax.experiments import RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="MMLU",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="data/mmlu",
        question_count=260,
        longest_prompt=144,
        template="paper",
        effect_questions=50,
        out="runs/qwen-mmlu",
    )
