"""Shapes of published models, for planning without their weights."""

from mcq_jax.model import ModelConfig, chinchilla


def _like_llama(**sizes) -> ModelConfig:
    return ModelConfig(
        head_width=128, rotary_width=128, norm_epsilon=1e-5, context=8192, **sizes
    )


PRESETS: dict[str, ModelConfig] = {
    "chinchilla-7b": chinchilla("7b"),
    "chinchilla-70b": chinchilla("70b"),
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
