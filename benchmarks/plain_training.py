"""A transformer and its training step as one writes them in plain Haiku and optax.

What `benchmarks.training` runs beside ours: RMS norms, rotary positions, tied table,
GELU, one batch axis throughout, blocks under `hk.remat`.
"""

from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from mcq_jax.model import ModelConfig


def training_step(config: ModelConfig, rate: float) -> tuple[Callable, Any]:
    """Returns `init(key, ids)`, and a jitted `step(parameters, state, ids)`."""
    network = hk.without_apply_rng(hk.transform(lambda ids: _logits(ids, config)))
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(rate, 0.9, 0.98, weight_decay=0.1)
    )

    def loss(parameters, ids):
        logits = network.apply(parameters, ids[:, :-1])
        return optax.softmax_cross_entropy_with_integer_labels(
            logits, ids[:, 1:]
        ).mean()

    def init(key, ids):
        parameters = network.init(key, ids)
        return parameters, optimiser.init(parameters)

    def step(parameters, state, ids):
        value, gradients = jax.value_and_grad(loss)(parameters, ids)
        changes, state = optimiser.update(gradients, state, parameters)
        return optax.apply_updates(parameters, changes), state, value

    return init, jax.jit(step, donate_argnums=(0, 1))


def _logits(ids, config: ModelConfig):
    table = hk.get_parameter(
        "table", (config.vocabulary, config.width), init=hk.initializers.RandomNormal()
    )
    x = table[ids]
    for index in range(config.layers):
        block = lambda x, index=index: _block(x, config, f"block_{index}")  # noqa: E731
        x = hk.remat(block)(x)
    return _norm(x, "final") @ table.T


def _block(x, config: ModelConfig, name: str):
    x = x + _attention(_norm(x, f"{name}_first"), config, name)
    h = hk.Linear(config.neurons, with_bias=False, name=f"{name}_up")(
        _norm(x, f"{name}_second")
    )
    return x + hk.Linear(config.width, with_bias=False, name=f"{name}_down")(
        jax.nn.gelu(h)
    )


def _attention(x, config: ModelConfig, name: str):
    rows, time, _ = x.shape
    shape = (rows, time, config.heads, config.head_width)
    size = config.heads * config.head_width
    q, k, v = (
        hk.Linear(size, with_bias=False, name=f"{name}_{part}")(x).reshape(shape)
        for part in "qkv"
    )
    q, k = _rotate(q), _rotate(k)
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(config.head_width)
    mask = jnp.tril(jnp.ones((time, time), bool))
    pattern = jax.nn.softmax(jnp.where(mask[None, None], scores, -1e30))
    z = jnp.einsum("bhqk,bkhd->bqhd", pattern, v).reshape(rows, time, size)
    return hk.Linear(config.width, with_bias=False, name=f"{name}_out")(z)


def _rotate(x):
    half = x.shape[-1] // 2
    frequencies = 10_000.0 ** -(jnp.arange(half) / half)
    angles = jnp.outer(jnp.arange(x.shape[1]), frequencies)[None, :, None]
    one, other = x[..., :half], x[..., half:]
    return jnp.concatenate(
        [
            one * jnp.cos(angles) - other * jnp.sin(angles),
            other * jnp.cos(angles) + one * jnp.sin(angles),
        ],
        -1,
    )


def _norm(x, name: str):
    return hk.RMSNorm(-1, create_scale=True, name=f"{name}_norm")(x)
