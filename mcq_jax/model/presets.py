"""The shapes of published models whose weights are not: Chinchilla's family."""

from mcq_jax.model.config import Activation, ModelConfig

# Size: layers, width, heads (Hoffmann et al. 2022, tables 4 and A9: the sizes nearest
# to 1, 7 and 70 billion).
_CHINCHILLA = {"1b": (23, 1792, 14), "7b": (40, 3584, 28), "70b": (80, 8192, 64)}


def chinchilla(size: str) -> ModelConfig:
    """Returns the shape of Chinchilla near 1, 7 or 70 billion parameters.

    Gopher's recipe (Rae et al. 2021): RMS norms, relative positions, a plain
    feed-forward block, a tied table of 32,000 tokens. Biases in every matrix are
    inferred: with them the published counts come out (1,018 and 6,796 million). The
    activation is not stated; GELU by tanh is JAX's own.
    """
    if size not in _CHINCHILLA:
        raise ValueError(f"size is {size!r}; give one of {', '.join(_CHINCHILLA)}.")
    layers, width, heads = _CHINCHILLA[size]
    return ModelConfig(
        layers=layers,
        width=width,
        kv_heads=heads,
        group=1,
        head_width=128,
        neurons=4 * width,
        vocabulary=32_000,
        context=2048,
        tied=True,
        activation=Activation.GELU_TANH,
        gated=False,
        qkv_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        relative_positions=True,
        rotary_width=0,
    )
