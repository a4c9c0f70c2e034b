"""`small_model`: the shape of what is trained on the corpus, wherever we train it."""

from mcq_jax.model import Activation, ModelConfig
from mcq_jax.training.corpus.recipe import TIME
from mcq_jax.training.corpus.vocabulary import VOCABULARY


def small_model() -> ModelConfig:
    """Returns 4 layers × 4 heads × 16 of width 64: 0.2M parameters.

    Half of a head's dimensions rotate: the others compare contents at any distance.
    Embeddings are multiplied by √width, as Gemma's are: else what a token is drowns in
    what the first layer writes, and heads have nothing to compare.
    """
    return ModelConfig(
        layers=4, width=64, kv_heads=4, group=1, head_width=16, neurons=256,
        vocabulary=len(VOCABULARY), context=TIME + 8, rotary_width=8, rope_base=100.0,
        tied=True, gated=False, activation=Activation.GELU_TANH, embedding_scale=8.0,
    )  # fmt: skip
