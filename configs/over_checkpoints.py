"""The study's measurements on one checkpoint of many: a circuit while it forms.

What: behaviour and its gate, node effects, how many nodes it takes, and what the
residual stream follows in front of each layer, on word copy.
Command, over the checkpoints of one training, in order, and then all on one page:
    for step in $(ls CHECKPOINTS); do
      mcq-jax run configs/over_checkpoints.py --model CHECKPOINTS/$step \\
        --out runs/over/$step
    done
    python -m mcq_jax.studies.over_checkpoints runs/over/*
Time: a run of configs/smollm2_word_copy.py for each whose gate is open, else a minute.
Expect: a dash for what cannot be had: no circuit, no nodes.
"""

from mcq_jax.experiments import RunConfig
from mcq_jax.studies.measuring import EXPERIMENTS


def config() -> RunConfig:
    return RunConfig(
        title="One checkpoint of many",
        model="models/smollm2-135m-instruct-q4_1.gguf",
        questions="word_copy",
        question_count=40,
        effect_questions=12,
        experiments=EXPERIMENTS,
        out="runs/over/checkpoint",
    )
