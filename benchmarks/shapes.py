"""Models of a real shape with random weights."""

from collections.abc import Sequence

import jax
import numpy as np

from mcq_jax.model import ModelConfig, Parameters, initialise

SMOLLM2_135M = ModelConfig(
    layers=30,
    width=576,
    kv_heads=3,
    group=3,
    head_width=64,
    neurons=1536,
    vocabulary=49_152,
    context=8192,
    rotary_width=64,
)
QWEN_1_5B = ModelConfig(  # Qwen2.5-Coder-1.5B
    layers=28,
    width=1536,
    kv_heads=2,
    group=6,
    head_width=128,
    neurons=8960,
    vocabulary=151_936,
    context=32_768,
    rotary_width=128,
    rope_base=1e6,
    qkv_bias=True,
)


def draw(config: ModelConfig, sizes: Sequence[int] | None = None) -> Parameters:
    """Returns float32 weights, made one by one: jax compiles and keeps nothing."""
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda: initialise(config, key, sizes=sizes))
    generator = np.random.default_rng(0)

    def make(leaf):
        return jax.device_put(
            0.05 * generator.standard_normal(leaf.shape, np.dtype(np.float32))
        )

    return jax.block_until_ready(jax.tree.map(make, shapes))
