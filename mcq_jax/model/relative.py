"""Relative positions: a term of the scores that depends on the distance to the key.

With query q, key k and r the sinusoids of their distance, the score is, before scaling,

    (q + u) . k  +  (q + v) . W r

(Dai et al. 2019, Transformer-XL, equation for the re-parameterised score; u, v and W
are each layer's own). Gopher and Chinchilla have these positions and no others.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import axes
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig


def with_content_bias(q: axes.Queries, config: ModelConfig) -> axes.Queries:
    """Returns the queries as they meet the keys: q + u."""
    if not config.relative_positions:
        return q
    return q + _bias("content_bias", q)


def score_bias(
    q: axes.Queries,
    query_positions: Int[Array, " query"],
    blocks: tuple[Block, ...],
    config: ModelConfig,
) -> axes.Pattern:
    """Returns (q + v) . W r of every query and key, in float32.

    W r is made once for every distance, which rows and queries share; the blocks hold
    all keys before a query, so that no distance exceeds their number.
    """
    distances = sum(block.positions.shape[0] for block in blocks)
    shape = (config.width, *q.shape[1:])
    weight = hk.get_parameter(
        "relative", shape, init=hk.initializers.RandomNormal(0.05)
    )
    waves = jnp.asarray(_sinusoids(distances, config.width), q.dtype)
    directions = contract("dw,wkgh->dkgh", waves, weight)
    q = q + _bias("position_bias", q)
    by_distance = contract("qkgh,dkgh->kgqd", q, directions, out=jnp.float32)
    first = query_positions[0]
    parts = [
        _by_key(by_distance, first - block.positions[0], block.positions.shape[0])
        for block in blocks
    ]
    return jnp.concatenate(parts, axis=-1)


def _by_key(
    by_distance: Float[Array, "kv_head group query distance"],
    offset: Int[Array, ""],
    keys: int,
) -> axes.Pattern:
    """Picks the distance offset + i - j for query i and key j of a block.

    Queries stand side by side, and so do keys: a query's numbers are a stretch of its
    distances, backwards, and one further on for the next query. Cut and shifted as a
    whole they cost a copy, where picked one by one a TPU reads a line for each.
    """
    heads, (queries, distances) = by_distance.shape[:2], by_distance.shape[2:]
    backwards = jnp.pad(
        by_distance[..., ::-1], [(0, 0)] * 3 + [(queries - 1, keys)]
    )  # keys still to come get 0, and are masked
    stretch = jax.lax.dynamic_slice_in_dim(
        backwards, distances - 1 - offset, keys + queries, axis=3
    )
    # Read in rows that are shorter by one, every next query begins one further on.
    flat = stretch.reshape(*heads, -1)[..., queries - 1 : -1]
    return flat.reshape(*heads, queries, -1)[..., :keys]


def _bias(name: str, q: axes.Queries) -> Array:
    return hk.get_parameter(name, q.shape[1:], q.dtype, init=jnp.zeros)[None]


def _sinusoids(distances: int, width: int) -> Float[np.ndarray, "distance width"]:
    """Sines, then cosines, of wavelengths from 2 pi to 10,000 times that."""
    pairs = np.arange(0, width, 2, dtype=np.float64)
    angles = np.arange(distances)[:, None] * 10_000.0 ** -(pairs / width)[None]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
