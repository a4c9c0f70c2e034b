"""Relative positions: a term of the scores that depends on the distance to the key.

With query q, key k and r the sinusoids of their distance, the score is, before scaling,

    (q + u) . k  +  (q + v) . W r

(Dai et al. 2019, Transformer-XL, equation for the re-parameterised score; u, v and W
are each layer's own). Gopher and Chinchilla have these positions and no others.
"""

import haiku as hk
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import axes
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.config import ModelConfig


def with_content_bias(q: axes.Queries, config: ModelConfig) -> axes.Queries:
    """Returns the queries as they meet the keys: q + u."""
    if not config.relative_positions:
        return q
    return q + _bias("content_bias", q)


def score_bias(
    q: axes.Queries,
    query_positions: Int[Array, " query"],
    key_positions: Int[Array, " key"],
    config: ModelConfig,
) -> axes.Pattern:
    """Returns (q + v) . W r of every query and key, in float32.

    W r is made once for every distance, which rows and queries share; the blocks hold
    all keys before a query, so that no distance exceeds their number.
    """
    distances = key_positions.shape[0]
    shape = (config.width, *q.shape[1:])
    weight = hk.get_parameter(
        "relative", shape, init=hk.initializers.RandomNormal(0.05)
    )
    waves = jnp.asarray(_sinusoids(distances, config.width), q.dtype)
    directions = contract("dw,wkgh->dkgh", waves, weight)
    q = q + _bias("position_bias", q)
    q = jnp.moveaxis(q, 0, 2)
    by_distance = contract("kgqh,dkgh->kgqd", q, directions, out=jnp.float32)
    distance = query_positions[:, None] - key_positions[None]
    index = jnp.clip(distance, 0, distances - 1)  # keys still to come are masked
    return jnp.take_along_axis(by_distance, index[None, None], axis=-1)


def _bias(name: str, q: axes.Queries) -> Array:
    return hk.get_parameter(name, q.shape[1:], q.dtype, init=jnp.zeros)[None]


def _sinusoids(distances: int, width: int) -> Float[np.ndarray, "distance width"]:
    """Sines, then cosines, of wavelengths from 2 pi to 10,000 times that."""
    pairs = np.arange(0, width, 2, dtype=np.float64)
    angles = np.arange(distances)[:, None] * 10_000.0 ** -(pairs / width)[None]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
