"""A small model that learns multiple choice from a synthetic corpus.

What: 4 layers × 4 heads of width 64, 0.2M parameters, on facts, lists and questions
(`mcq_jax.training.corpus`); weights are kept on the way, twice per doubling of steps.
Command: mcq-jax train configs/train_small.py
Time: about 90 ms of a core per step, so 8 minutes for 5,000 steps on a quiet machine.
Expect: a falling curve in runs/small/small/curve.jsonl, checkpoints that every card can
name as its model.
"""

from mcq_jax.model import Activation, ModelConfig
from mcq_jax.training import Member, TrainingConfig, corpus, log_spaced

STEPS = 5000


def config() -> TrainingConfig:
    tokenizer = corpus.tokenizer()
    model = ModelConfig(
        layers=4,
        width=64,
        kv_heads=4,
        group=1,
        head_width=16,
        neurons=256,
        vocabulary=tokenizer.vocabulary_size,
        context=48,
        rotary_width=16,
        tied=True,
        gated=False,
        activation=Activation.GELU_TANH,
    )
    return TrainingConfig(
        title="Small",
        model=model,
        tokenizer=tokenizer,
        members=(Member(name="small", stream=corpus.Corpus(corpus.CorpusRecipe())),),
        steps=STEPS,
        checkpoints=log_spaced(STEPS, first=10),
        out="runs/small",
    )
