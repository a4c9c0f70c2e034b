"""`forward`: a batch of sequences through the transformer, with edits and captures.

What this file adds to `transformer` is only how it is run: rows are vmapped, single
layers run in a host loop over one compiled program, longer segments under a scan.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import axes, sharding
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Edit, Site
from mcq_jax.interventions.lists import Wish, as_captures, as_edits
from mcq_jax.interventions.rows import NO_ROWS, row_axes
from mcq_jax.model import transformer, work
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import LayerConstants, layer_constants
from mcq_jax.model.inputs import as_tokens, check_model
from mcq_jax.model.parameters import Group, Parameters
from mcq_jax.model.positions import Places, places_of
from mcq_jax.model.readers import check_readers
from mcq_jax.model.transformer import Captured, Captures, Edits
from mcq_jax.model.validation import check_inputs

Stream = Float[Array, "row position width"]

_STATIC = ("config", "keep_blocks", "rematerialise")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Output:
    """What a forward pass returns."""

    # Next-token logits in float32.
    logits: Float[Array, "row position vocabulary"]
    # What was captured, by site: `[layer, row, *site axes]`, with only the layers and
    # positions asked for; `[row, *site axes]` for a site without a layer.
    activations: dict[Site, Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LayersRun:
    """What the layers leave behind."""

    # The residual stream after the last layer.
    residual: Stream
    # Keys and values, one `Block` `[n, row, key, …]` per segment; () if not kept.
    blocks: tuple[Block, ...]
    # Per capture: `[layer, row, *site axes]`, or None where the site is elsewhere.
    captured: Captured


def forward(
    parameters: Parameters,
    tokens: axes.Tokens | Sequence[Sequence[int]],
    edits: Edit | Sequence[Edit] = (),
    *,
    config: ModelConfig,
    capture: Wish | Sequence[Wish] = (),
) -> Output:
    """Runs right-padded sequences through the model, with edits and captures.

    Attention is causal, so padding behind a sequence changes nothing before it. A
    source, weight or direction may be traced: `forward` can be jitted, vmapped and
    differentiated as a whole.
    """
    edits, wishes = as_edits(edits), as_captures(capture)
    tokens = as_tokens(tokens)
    check_model(parameters, config)
    check_inputs(tokens, edits, wishes, config)
    check_readers(edits, tokens.shape, config)
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    x, at_embed = run_embed(
        parameters.embed, tokens, positions, edits, wishes, config=config
    )
    run = run_layers(parameters, x, positions, edits, config=config, capture=wishes)
    rows, length = tokens.shape
    work.note_full_passes(x, rows=rows, tokens=length, layers=config.layers)
    work.note_unembedded(x, tokens=rows * length, of_rows=False)
    logits, at_unembed = run_unembed(
        parameters.unembedding, run.residual, edits, wishes, config=config
    )
    activations = {}
    for wish, *parts in zip(wishes, at_embed, run.captured, at_unembed, strict=True):
        kept = next(part for part in parts if part is not None)
        activations[wish.site] = wish.as_asked(kept)
    return Output(logits, activations)


@functools.partial(jax.jit, static_argnames="config")
def run_embed(
    group: Group,
    tokens: axes.Tokens,
    positions: Int[AnyArray, "row position"],
    edits: Edits = (),
    capture: Captures = (),
    *,
    config: ModelConfig,
) -> tuple[Stream, Captured]:
    """Returns the embeddings `[row, position, width]` and what was captured."""
    apply = functools.partial(transformer.embed.apply, config=config)
    return _over_rows(apply, group, (tokens, positions), (), edits, capture)


@functools.partial(jax.jit, static_argnames="config")
def run_unembed(
    group: Group,
    x: Stream,
    edits: Edits = (),
    capture: Captures = (),
    *,
    config: ModelConfig,
) -> tuple[Float[Array, "row position vocabulary"], Captured]:
    """Returns logits `[row, position, vocabulary]` and what was captured."""
    apply = functools.partial(transformer.unembed.apply, config=config)
    return _over_rows(apply, group, (x,), (), edits, capture)


def run_layers(
    parameters: Parameters,
    x: Stream,
    positions: Int[Array, "row position"],
    edits: Edits = (),
    *,
    config: ModelConfig,
    capture: Captures = (),
    keep_blocks: bool = False,
    past: Iterable[tuple[Block, ...]] | None = None,
    first_layer: int = 0,
    rematerialise: bool = False,
) -> LayersRun:
    """Runs all segments; keeps keys and values only if asked to.

    Args:
        past: per segment, the earlier blocks `[n, #row, key, …]` that it also reads.
        first_layer: the model's layer that these parameters begin with.
        rematerialise: whether a gradient keeps what enters each layer only, and runs
            the layer again for the rest.
    """
    edits, capture = tuple(edits), tuple(capture)
    constants, places = layer_constants(config), places_of(positions, config)
    past = ((),) * len(parameters.layers) if past is None else past
    blocks, captured, start = [], [[] for _ in capture], first_layer
    for group, earlier in zip(parameters.layers, past, strict=True):
        size = _size(group)
        stop = start + size
        here = jax.tree.map(lambda c: c[start:stop], constants)  # noqa: B023
        run_segment = _run_layer if size == 1 else _scan_layers
        wishes = _wishes_within(capture, start, stop)
        inputs = (group, x, earlier, places, here, edits, wishes)
        before = sum(block.keys.shape[2] for block in earlier)
        rows, tokens = x.shape[:2]
        work.note_prompts(x, rows=rows, tokens=tokens, layers=size, past=before)
        x, own, kept = run_segment(
            *inputs,
            config=config,
            keep_blocks=keep_blocks,
            rematerialise=rematerialise,
        )
        blocks += [own] * keep_blocks
        for parts, part in zip(captured, kept, strict=True):
            parts += [part] * (part is not None)
        start = stop
    joined = [jnp.concatenate(parts) if parts else None for parts in captured]
    return LayersRun(x, tuple(blocks), joined)


@functools.partial(jax.jit, static_argnames=_STATIC)
def _run_layer(
    group: Group,
    x: Stream,
    past: tuple[Block, ...],
    places: Places,
    constants: LayerConstants,
    edits: Edits,
    capture: Captures,
    *,
    config: ModelConfig,
    keep_blocks: bool,
    rematerialise: bool = False,
) -> tuple[Stream, Block | None, Captured]:
    """One layer, from a segment of one."""
    group, past, constants = jax.tree.map(lambda a: a[0], (group, past, constants))
    run = functools.partial(
        layer_over_rows, edits=edits, capture=capture, config=config
    )
    run = jax.checkpoint(run) if rematerialise else run
    x, own, captured = run(x, places, group, past, constants)
    own, captured = jax.tree.map(lambda a: a[None], (own, captured))
    return x, own if keep_blocks else None, captured


@functools.partial(jax.jit, static_argnames=_STATIC)
def _scan_layers(
    group: Group,
    x: Stream,
    past: tuple[Block, ...],
    places: Places,
    constants: LayerConstants,
    edits: Edits,
    capture: Captures,
    *,
    config: ModelConfig,
    keep_blocks: bool,
    rematerialise: bool = False,
) -> tuple[Stream, Block | None, Captured]:
    """A segment of several layers, compiled once.

    Captures of some layers only are written into buffers by slot, since the outputs
    of a scan would hold every layer's.
    """
    run = functools.partial(
        layer_over_rows, edits=edits, capture=capture, config=config
    )
    run = jax.checkpoint(run, prevent_cse=False) if rematerialise else run
    stack = (group, past, constants)
    first = jax.tree.map(lambda a: a[0], stack)
    shapes = jax.eval_shape(run, x, places, *first)[2]
    slots, buffers = [], []
    for wish, shape in zip(capture, shapes, strict=True):
        layers = [i for i in range(_size(group)) if wish.keeps(i)]
        slot = np.full(_size(group), len(layers), np.int32)  # beyond the buffer: drop
        slot[layers] = np.arange(len(layers))
        slots.append(slot)
        buffers.append(_buffer(len(layers), shape))

    def step(carry, layer_and_slots):
        x, buffers = carry
        layer, slots = layer_and_slots
        x, own, captured = run(x, places, *layer)
        buffers = [
            buffer if part is None else buffer.at[slot].set(part, mode="drop")
            for buffer, part, slot in zip(buffers, captured, slots, strict=True)
        ]
        return (x, buffers), own if keep_blocks else None

    (x, buffers), blocks = jax.lax.scan(step, (x, buffers), (stack, slots))
    return x, blocks, buffers


def _buffer(size: int, shape: jax.ShapeDtypeStruct | None) -> Array | None:
    return None if shape is None else jnp.zeros((size, *shape.shape), shape.dtype)


def layer_over_rows(
    x: Stream,
    places: Places,
    group: Group,
    past: tuple[Block, ...],
    constants: LayerConstants,
    edits: Edits,
    capture: Captures,
    config: ModelConfig,
) -> tuple[Stream, Block, Captured]:
    """Returns one layer's residual, its block, and what was captured in it."""
    apply = functools.partial(transformer.layer.apply, config=config)
    group = sharding.gather_weights(group)
    return _over_rows(apply, group, (x, past, places), (constants,), edits, capture)


def _over_rows(
    function: Callable,
    group: Group,
    by_row: tuple,
    shared: tuple,
    edits: Edits,
    capture: Captures,
) -> Any:
    """vmaps over the rows of `by_row`, and of the edits and captures that have rows.

    In `by_row` too a row axis of size 1 is shared by all rows.
    """
    leaves, in_axes, restore = _by_row((edits, capture))
    by_row = sharding.rows_over_data(by_row)
    rows = jax.tree.leaves(by_row)[0].shape[0]
    row_axes = jax.tree.map(lambda a: None if a.shape[0] == 1 < rows else 0, by_row)
    by_row = jax.tree.map(lambda a: a[0] if a.shape[0] == 1 < rows else a, by_row)

    def run(leaves, by_row):
        edits, capture = restore(leaves)
        return function(group, *by_row, *shared, edits=edits, capture=capture)

    return jax.vmap(run, in_axes=(in_axes, row_axes))(leaves, by_row)


def _by_row(tree):
    """Returns leaves, their row axes (None: shared), and the way back to the tree.

    Each field of an edit or a capture says which axis that is (`interventions.rows`). A
    row axis of size 1 is dropped: every row then shares it.
    """
    given, structure = jax.tree.flatten(tree)
    leaves, in_axes = [], []
    for leaf, row_axis in zip(given, row_axes(tree), strict=True):
        axis = None if row_axis == NO_ROWS else row_axis
        if axis is not None and leaf.shape[axis] == 1:
            leaf, axis = jnp.squeeze(leaf, axis), None
        leaves.append(leaf)
        in_axes.append(axis)
    return leaves, in_axes, functools.partial(jax.tree.unflatten, structure)


def _wishes_within(capture: Captures, start: int, stop: int) -> tuple[Capture, ...]:
    """Captures with their layers counted from the segment's first.

    A segment whose layers are all wanted, or none, gets one spelling (None, ()), so
    that equal segments share a compiled program.
    """
    wishes = []
    for wish in capture:
        kept = tuple(i - start for i in range(start, stop) if wish.keeps(i))
        layers = None if len(kept) == stop - start else kept
        wishes.append(dataclasses.replace(wish, layers=layers))
    return tuple(wishes)


def _size(group: Group) -> int:
    return jax.tree.leaves(group)[0].shape[0]
