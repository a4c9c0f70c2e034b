"""Scores and patterns in tiles: a stretch of queries, and the keys that it can see.

Half of all pairs of a query and a key lie in the future. The queries of a long sequence
are cut into stretches, and the keys behind a stretch are left out, unless somebody asks
for the scores or the pattern as a whole: an edit may show a key of the future.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import axes
from mcq_jax.interventions import Site, Tap
from mcq_jax.model.blocks import Block

# Queries of the shortest tile, and the most tiles of a sequence: short tiles compute
# fewer scores of keys to come, and each tile has a product of its own to compile.
_SHORTEST, _MOST = 64, 8
# What keys of the future have, as long as no edit has changed it.
_UNSEEN = {Site.SCORES: -jnp.inf, Site.PATTERN: 0.0}


class Tile(NamedTuple):
    """Scores or pattern of one stretch."""

    seen: Float[Array, "kv_head group query _"]
    # Of the keys behind the stretch; None: nobody asks.
    future: Float[Array, "kv_head group query _"] | None = None


def stretches(queries: int) -> list[slice]:
    """Returns the stretches that the queries of a sequence are cut into."""
    shortest = -(-queries // _MOST)
    size = -(-shortest // _SHORTEST) * _SHORTEST
    return [slice(i, min(i + size, queries)) for i in range(0, queries, size)]


def seen_from(stretch: slice, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Returns the blocks without what of the last one, the queries' own, is behind."""
    return (*blocks[:-1], _part(blocks[-1], slice(0, stretch.stop)))


def future_of(stretch: slice, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Returns what `seen_from` leaves out."""
    return (_part(blocks[-1], slice(stretch.stop, None)),)


def _part(block: Block, part: slice) -> Block:
    arrays = (block.keys[part], block.values[part], block.positions[part])
    return Block(*arrays, block.length - (part.start or 0))


def where(
    readers: Bool[Array, "kv_head group _"], theirs: list[Tile], ours: list[Tile]
) -> list[Tile]:
    """Returns scores as some queries have them, and those of the others."""
    ends = np.cumsum([tile.seen.shape[-2] for tile in ours])
    readers = jnp.broadcast_to(readers, (*readers.shape[:2], int(ends[-1])))
    masks = jnp.split(readers[..., None], ends[:-1], axis=-2)
    return [
        Tile(jnp.where(mask, one.seen, other.seen))
        for mask, one, other in zip(masks, theirs, ours, strict=True)
    ]


def softmax(scores: Tile) -> Tile:
    """Returns the pattern, which is the same bit for bit if only the past is shown."""
    seen = jax.nn.softmax(scores.seen, axis=-1)
    if scores.future is None:
        return Tile(seen)
    of_all = jax.nn.softmax(
        jnp.concatenate([scores.seen, scores.future], axis=-1), axis=-1
    )
    is_shown = (scores.future > -jnp.inf).any(axis=-1, keepdims=True)
    keys = seen.shape[-1]
    return Tile(jnp.where(is_shown, of_all[..., :keys], seen), of_all[..., keys:])


def tapped(tap: Tap, site: Site, tiles: list[Tile]) -> list[Tile]:
    """Returns the tiles of all stretches as edits of the whole leave them."""
    if not tap.changes(site):
        tap.keep(site, lambda positions: _rows(tiles, positions, _UNSEEN[site]))
        return tiles
    whole: axes.Pattern = tap(site, _rows(tiles, None, _UNSEEN[site]))
    keys = whole.shape[-1]
    cut, start = [], 0
    for tile in tiles:
        _, _, queries, seen = tile.seen.shape
        rows = whole[..., start : start + queries, :]
        future = None if seen == keys else rows[..., seen:]
        cut.append(Tile(rows[..., :seen], future))
        start += queries
    return cut


def _rows(
    tiles: list[Tile], positions: Int[Array, " selected"] | None, unseen: float
) -> axes.Pattern:
    """What the queries at some positions, or all of them, have of all keys."""
    *heads, _, keys = tiles[-1].seen.shape
    if positions is None:
        return jnp.concatenate([_filled(t, keys, unseen) for t in tiles], axis=-2)
    rows = jnp.full((*heads, len(positions), keys), jnp.nan, tiles[0].seen.dtype)
    index = positions  # within the tile
    for tile in tiles:
        size = tile.seen.shape[-2]
        part = [jnp.take(a, index, axis=-2, mode="clip") for a in tile if a is not None]
        is_here = ((index >= 0) & (index < size))[:, None]
        rows = jnp.where(is_here, _filled(Tile(*part), keys, unseen), rows)
        index = index - size
    return rows


def _filled(tile: Tile, keys: int, unseen: float) -> axes.Pattern:
    if tile.future is not None:
        return jnp.concatenate([tile.seen, tile.future], axis=-1)
    around = [(0, 0)] * 3 + [(0, keys - tile.seen.shape[-1])]
    return jnp.pad(tile.seen, around, constant_values=unseen)
