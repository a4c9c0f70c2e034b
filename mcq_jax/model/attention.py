"""One layer's attention: every query head reads blocks of keys and values."""

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import axes
from mcq_jax.interventions import Site, Tap
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.positions import rotate
from mcq_jax.model.readers import key_versions, value_versions


def attention(
    x: axes.Residual,
    blocks: tuple[Block, ...],
    positions: Int[Array, " position"],
    frequencies: Float[Array, " half"],
    config: ModelConfig,
    tap: Tap,
) -> tuple[axes.Residual, Block]:
    """Returns what attention adds to the residual, and its own block."""
    heads = (config.kv_heads, config.head_width)
    query_heads = (config.kv_heads, config.group, config.head_width)
    q = tap(Site.Q, _project("query", x, query_heads, config.qkv_bias))
    k = tap(Site.K, _project("key", x, heads, config.qkv_bias))
    v = tap(Site.V, _project("value", x, heads, config.qkv_bias))
    q = tap(Site.ROT_Q, rotate(q, positions, frequencies))
    k_rotated = tap(Site.ROT_K, rotate(k, positions, frequencies))

    own = Block(k_rotated, v, positions, jnp.int32(positions.shape[0]))
    blocks = (*blocks, own)
    scores = _scores(q, blocks, positions, config)
    for readers, edited in key_versions(tap, k, blocks, positions, frequencies):
        others = _scores(q, edited, positions, config)
        scores = jnp.where(readers[..., None], others, scores)
    scores = tap(Site.SCORES, scores)
    pattern = tap(Site.PATTERN, jax.nn.softmax(scores, axis=-1))
    z = _read(pattern, blocks)
    for readers, edited in value_versions(tap, blocks, positions):
        z = jnp.where(jnp.moveaxis(readers, 2, 0)[..., None], _read(pattern, edited), z)
    z = tap(Site.Z, z.astype(x.dtype))

    weight = _weight("output", (*query_heads, config.width))
    flat = z.reshape(z.shape[0], -1)  # one sum over heads, also across devices
    out = contract("qf,fw->qw", flat, weight.reshape(-1, config.width))
    if tap.names(Site.HEAD_OUT):
        out = out + _head_changes(z, weight, tap)
    if config.attention_output_bias:
        bias = hk.get_parameter("output_bias", (config.width,), x.dtype, jnp.zeros)
        out = out + bias[None]
    return tap(Site.ATTN_OUT, out), own


def _project(name: str, x: Array, heads: tuple[int, ...], has_bias: bool) -> Array:
    """x to `[position, *heads]`."""
    weight = _weight(name, (x.shape[-1], *heads))
    flat = contract("qw,wf->qf", x, weight.reshape(x.shape[-1], -1))
    projected = flat.reshape(x.shape[0], *heads)
    if has_bias:
        bias = hk.get_parameter(f"{name}_bias", heads, x.dtype, init=jnp.zeros)
        projected = projected + bias[None]
    return projected


def _weight(name: str, shape: tuple[int, ...]) -> Array:
    return hk.get_parameter(name, shape, init=hk.initializers.RandomNormal(0.05))


def _scores(
    q: axes.Queries,
    blocks: tuple[Block, ...],
    positions: Int[Array, " query"],
    config: ModelConfig,
) -> axes.Pattern:
    """Scaled scores in float32; keys that are padding or still to come get -inf."""
    scale = config.score_scale
    scale = config.head_width**-0.5 if scale is None else scale
    parts = []
    for block in blocks:
        scores = contract("qkgh,skh->kgqs", q, block.keys, out=jnp.float32) * scale
        is_readable = _readable(block, positions)[None, None]
        parts.append(jnp.where(is_readable, scores, -jnp.inf))
    return jnp.concatenate(parts, -1)


def _readable(
    block: Block, positions: Int[Array, " query"]
) -> Bool[Array, "query key"]:
    is_real = jnp.arange(block.positions.shape[0]) < block.length
    return (block.positions[None] <= positions[:, None]) & is_real[None]


def _read(pattern: axes.Pattern, blocks: tuple[Block, ...]) -> axes.Queries:
    """The pattern's mix of values, summed over the blocks."""
    start, total = 0, None
    for block in blocks:
        keys = block.values.shape[0]
        share = pattern[..., start : start + keys].astype(block.values.dtype)
        part = contract("kgqs,skh->qkgh", share, block.values, out=jnp.float32)
        total = part if total is None else total + part
        start += keys
    assert total is not None
    return total


def _head_changes(z: axes.Queries, weight: Array, tap: Tap) -> axes.Residual:
    """What edits of the heads' outputs add to their sum: exactly 0 where unedited."""
    # Batched over heads, bfloat16 has no product on CPUs; widened, the numbers are the
    # same, and then rounded as the edited ones are.
    wide = contract("qkgh,kghw->qkgw", *(a.astype(jnp.float32) for a in (z, weight)))
    clean = Tap((), ())(Site.HEAD_OUT, wide.astype(z.dtype))
    edited = tap(Site.HEAD_OUT, clean)
    change = edited.astype(jnp.float32) - clean.astype(jnp.float32)
    return change.sum((1, 2)).astype(z.dtype)
