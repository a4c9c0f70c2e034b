"""Shapes of published models, for planning without their weights."""

from mcq_jax.model import ModelConfig


def _like_llama(**sizes) -> ModelConfig:
    return ModelConfig(
        head_width=128, rotary_width=128, norm_epsilon=1e-5, context=8192, **sizes
    )


# The Chinchilla shapes are approximate: they have relative positions, which add a
# matrix of width × width per layer and a second product with each query, where these
# have rotary ones; the feed-forward block is plain in both.
PRESETS: dict[str, ModelConfig] = {
    "chinchilla-7b": _like_llama(
        layers=32, width=4096, kv_heads=32, group=1, neurons=16384, vocabulary=32000,
        gated=False,
    ),
    "chinchilla-70b": _like_llama(
        layers=80, width=8192, kv_heads=64, group=1, neurons=32768, vocabulary=32000,
        gated=False,
    ),
    "llama-3-8b": _like_llama(
        layers=32, width=4096, kv_heads=8, group=4, neurons=14336, vocabulary=128256
    ),
    "llama-3-70b": _like_llama(
        layers=80, width=8192, kv_heads=8, group=8, neurons=28672, vocabulary=128256
    ),
    "qwen2.5-72b": _like_llama(
        layers=80, width=8192, kv_heads=8, group=8, neurons=29568, vocabulary=152064,
        qkv_bias=True,
    ),
}  # fmt: skip
