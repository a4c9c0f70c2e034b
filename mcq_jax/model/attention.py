"""One layer's attention: every query head reads blocks of keys and values."""

import functools

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from mcq_jax import axes
from mcq_jax.interventions import Site, Tap
from mcq_jax.model import tiles
from mcq_jax.model.arithmetic import contract, soft_cap
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import LayerConstants
from mcq_jax.model.norms import norm_heads
from mcq_jax.model.positions import Places, rotate
from mcq_jax.model.readers import key_versions, value_versions
from mcq_jax.model.relative import (
    Directions,
    key_directions,
    score_bias,
    with_content_bias,
)
from mcq_jax.model.tiles import Tile
from mcq_jax.model.weights import bias, matrix


def attention(
    x: axes.Residual,
    blocks: tuple[Block, ...],
    places: Places,
    constants: LayerConstants,
    config: ModelConfig,
    tap: Tap,
) -> tuple[axes.Residual, Block]:
    """Returns what attention adds (before any norm of it) and its own block."""
    heads = (config.kv_heads, config.head_width)
    query_heads = (config.kv_heads, config.group, config.head_width)
    positions = places.positions
    q = tap(Site.Q, _project("query", x, query_heads, config))
    k = tap(Site.K, _project("key", x, heads, config))
    v = tap(Site.V, _project("value", x, heads, config))

    def turned(k, tap):
        k = norm_heads("key", k, config, tap, Site.K_SCALE)
        return tap(Site.ROT_K, rotate(k, places, constants.rotation))

    q = norm_heads("query", q, config, tap, Site.Q_SCALE)
    q = tap(Site.ROT_Q, rotate(q, places, constants.rotation))
    own = Block(turned(k, tap), v, positions, jnp.int32(x.shape[0]))
    blocks = (*blocks, own)
    parts = tiles.stretches(x.shape[0])
    directions = key_directions(q, blocks, config)

    def scores_of(blocks):
        scores = []
        for part in parts:
            seen = tiles.seen_from(part, blocks)
            inputs = (q[part], positions[part], seen, directions, constants, config)
            scores.append(Tile(_scores(*inputs)))
        return scores

    scores = scores_of(blocks)
    for readers, edited in key_versions(tap, k, blocks, positions, turned):
        scores = tiles.where(readers, scores_of(edited), scores)
    scores = tiles.tapped(tap, Site.SCORES, scores)
    pattern = [tiles.softmax(tile) for tile in scores]
    pattern = tiles.tapped(tap, Site.PATTERN, pattern)
    z = _mix(pattern, blocks, parts, config)
    for readers, edited in value_versions(tap, blocks, positions):
        other = _mix(pattern, edited, parts, config)
        z = jnp.where(jnp.moveaxis(readers, 2, 0)[..., None], other, z)
    z = tap(Site.Z, z.astype(x.dtype))

    weight = matrix("output", *query_heads, config.width)
    flat = z.reshape(z.shape[0], -1)  # one sum over heads, also across devices
    out = contract(
        "qf,fw->qw", flat, weight.reshape(-1, config.width), precision=config.precision
    )
    if tap.names(Site.HEAD_OUT):
        out = out + _head_changes(z, weight, tap)
    if config.attention_output_bias:
        out = out + bias("output_bias", (config.width,), x.dtype)[None]
    return out, own


def head_writes(
    z: Float[Array, "*rows kv_head group head_width"],
    output: Float[Array, "kv_head group head_width width"],
) -> Float[Array, "*rows kv_head group width"]:
    """Returns what each head writes by itself, before any norm of their sum.

    In float32: batched over heads, bfloat16 has no product on CPUs.
    """
    wide = (a.astype(jnp.float32) for a in (z, output))
    return contract("...kgh,kghw->...kgw", *wide)


def _project(
    name: str, x: axes.Residual, heads: tuple[int, ...], config: ModelConfig
) -> Float[Array, "position *heads"]:
    """Queries, keys or values."""
    weight = matrix(name, *heads, config.width).reshape(-1, config.width)
    flat = contract("qw,fw->qf", x, weight, precision=config.precision)
    projected = flat.reshape(x.shape[0], *heads)
    if config.qkv_bias:
        projected = projected + bias(f"{name}_bias", heads, x.dtype)[None]
    return projected


def _scores(
    q: axes.Queries,
    positions: Int[Array, " query"],
    blocks: tuple[Block, ...],
    directions: Directions | None,
    constants: LayerConstants,
    config: ModelConfig,
) -> axes.Pattern:
    """Scaled scores in float32; keys out of sight get -inf."""
    keys = jnp.concatenate([block.positions for block in blocks])
    content = jnp.moveaxis(with_content_bias(q, config), 0, 2)
    parts = [
        contract(
            "kgqh,skh->kgqs",
            content,
            block.keys,
            out=jnp.float32,
            precision=config.precision,
        )  # fmt: skip
        for block in blocks
    ]
    if directions is not None:
        biases = score_bias(q, positions, blocks, directions, config)
        parts = [part + bias for part, bias in zip(parts, biases, strict=True)]
    scores = _joined(parts)
    scores = soft_cap(scores * constants.score_scale, config.score_cap)
    is_real = jnp.concatenate([block.is_real for block in blocks])
    is_readable = is_real[None] & _in_sight(positions, keys, constants.window)
    return jnp.where(is_readable[None, None], scores, -jnp.inf)


def _joined(parts: list[Array]) -> Array:
    """Parts side by side along the last axis.

    Each is padded to the whole width, and they are added: unlike a concatenation, this
    goes into the step that comes after it, and nothing is copied.
    """
    keys = sum(part.shape[-1] for part in parts)
    start, padded = 0, []
    for part in parts:
        stop = start + part.shape[-1]
        around = [(0, 0)] * (part.ndim - 1) + [(start, keys - stop)]
        padded.append(jnp.pad(part, around))
        start = stop
    return functools.reduce(jnp.add, padded)


def _in_sight(
    positions: Int[Array, " query"],
    keys: Int[Array, " key"],
    window: Int[ArrayLike, ""] | None,
) -> Bool[Array, "query key"]:
    distance = positions[:, None] - keys[None]
    in_sight = distance >= 0
    return in_sight if window is None else in_sight & (distance < window)


def _mix(
    pattern: list[Tile],
    blocks: tuple[Block, ...],
    parts: list[slice],
    config: ModelConfig,
) -> axes.Queries:
    """The pattern's mix of values."""
    mixes = []
    for tile, part in zip(pattern, parts, strict=True):
        mix = _read(tile.seen, tiles.seen_from(part, blocks), config)
        if tile.future is not None:
            mix = mix + _read(tile.future, tiles.future_of(part, blocks), config)
        mixes.append(mix)
    return jnp.concatenate(mixes)


def _read(
    pattern: axes.Pattern, blocks: tuple[Block, ...], config: ModelConfig
) -> axes.Queries:
    """A mix of the blocks' values."""
    start, total = 0, None
    for block in blocks:
        keys = block.values.shape[0]
        share = pattern[..., start : start + keys].astype(block.values.dtype)
        part = contract(
            "kgqs,skh->kgqh", share, block.values,
            out=jnp.float32, precision=config.precision,
        )  # fmt: skip
        total = part if total is None else total + part
        start += keys
    assert total is not None
    return jnp.moveaxis(total, 2, 0)


def _head_changes(z: axes.Queries, weight: Array, tap: Tap) -> axes.Residual:
    """What edits of the heads' outputs add to their sum: exactly 0 where unedited."""
    # Rounded as the edited ones are.
    clean = Tap((), ())(Site.HEAD_OUT, head_writes(z, weight).astype(z.dtype))
    edited = tap(Site.HEAD_OUT, clean)
    change = edited.astype(jnp.float32) - clean.astype(jnp.float32)
    return change.sum((1, 2)).astype(z.dtype)
