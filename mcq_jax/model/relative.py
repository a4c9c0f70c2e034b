"""Relative positions: a term of the scores that depends on the distance to the key.

With query q, key k and r the sinusoids of their distance, the score is, before scaling,

    (q + u) . k  +  (q + v) . W r

(Dai et al. 2019, Transformer-XL, equation for the re-parameterised score; u, v and W
are each layer's own). Gopher and Chinchilla have these positions and no others.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from mcq_jax import axes
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.weights import bias, matrix

Directions = Float[Array, "distance kv_head group head_width"]


def with_content_bias(q: axes.Queries, config: ModelConfig) -> axes.Queries:
    """Returns the queries as they meet the keys: q + u."""
    if not config.relative_positions:
        return q
    return q + _bias("content_bias", q)


def key_directions(
    q: axes.Queries, blocks: tuple[Block, ...], config: ModelConfig
) -> Directions | None:
    """Returns W r of every distance, which rows and queries share; None without one.

    The blocks hold all keys before a query, so that no distance exceeds their number.
    """
    if not config.relative_positions:
        return None
    distances = sum(block.positions.shape[0] for block in blocks)
    weight = matrix("relative", *q.shape[1:], config.width)
    waves = jnp.asarray(sinusoids(np.arange(distances), config.width), q.dtype)
    return contract("dw,kghw->dkgh", waves, weight, precision=config.precision)


def score_bias(
    q: axes.Queries,
    query_positions: Int[Array, " query"],
    blocks: tuple[Block, ...],
    directions: Directions,
    config: ModelConfig,
) -> list[axes.Pattern]:
    """Returns (q + v) . W r of every query and key in float32, block by block."""
    q = jnp.moveaxis(q + _bias("position_bias", q), 0, 2)

    def of_block(block):
        stretch = _stretch(directions, query_positions, block.positions)
        scores = contract(
            "kgqh,dkgh->kgqd", q, stretch, out=jnp.float32, precision=config.precision
        )
        return _relative_shift(scores, block.positions.shape[0])

    return [of_block(block) for block in blocks]


def _stretch(
    directions: Directions,
    queries: Int[Array, " query"],
    keys: Int[Array, " key"],
) -> Float[Array, "stretch kv_head group head_width"]:
    """Cuts out all distances between a block's keys and the queries, largest first.

    Queries are neighbours, and so are keys, so that the distances are consecutive
    numbers. Negative ones (keys still to come) get 0: they are masked.
    """
    distances, before, after = len(directions), len(queries) - 1, len(keys) - 1
    padded = jnp.pad(directions[::-1], [(before, after), (0, 0), (0, 0), (0, 0)])
    start = distances - 1 - (queries[0] - keys[0])
    return jax.lax.dynamic_slice_in_dim(padded, start, before + len(keys))


def _relative_shift(
    scores: Float[Array, "kv_head group query stretch"], keys: int
) -> axes.Pattern:
    """From scores by distance to scores by key: Transformer-XL's relative shift.

    Of `queries` rows, the last one's score with key j is in column j, and each earlier
    row's lie one column further right: row i wants columns queries - 1 - i and on. So
    cut off the first queries - 1 numbers and read the rest in rows that are shorter by
    one: each row then begins one column further left than the row before. This is a
    copy; to pick numbers by their indices, a TPU reads a line of memory for each.
    """
    *heads, queries, stretch = scores.shape
    if queries == 1:
        return scores
    flat = scores.reshape(*heads, -1)[..., queries - 1 : -1]
    return flat.reshape(*heads, queries, stretch - 1)[..., :keys]


def _bias(name: str, q: axes.Queries) -> Array:
    return bias(name, q.shape[1:], q.dtype)[None]


def sinusoids(
    distances: Num[np.ndarray, "*distance"], width: int
) -> Float[np.ndarray, "*distance width"]:
    """Sines, then cosines, of wavelengths from 2 pi to 10,000 times that."""
    pairs = np.arange(0, width, 2, dtype=np.float64)
    angles = np.multiply.outer(distances, 10_000.0 ** -(pairs / width))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32)
