"""The resumed pass: a patch for the price of what it changes.

A patch in layer l from position p on leaves all earlier tokens, and all earlier layers,
as they were. So a row (one prompt under one patch or set of patches) is born as a copy
of the clean residual at its first patched layer, and only its tokens from p on run on,
reading the prompt's keys and values. All rows advance together, layer by layer,
through the same `transformer.layer` as the full pass: weights are read once, and a
prompt's keys and values are shared by its rows. A patch at the answer position is the
case of a single token.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import sharding
from mcq_jax.interventions import Capture, Site
from mcq_jax.model import transformer
from mcq_jax.model.attention import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.positions import places_of
from mcq_jax.passes.plans import Plan
from mcq_jax.passes.prompt_pass import NodeOutputs, Prefill
from mcq_jax.passes.row_edits import Here, RowEdits, row_edits, rows_at
from mcq_jax.passes.row_groups import row_groups, stages_that_pay
from mcq_jax.passes.row_shares import RowShares


@dataclasses.dataclass(frozen=True)
class Resumed:
    """What patched rows come to at the answer position."""

    # The residual stream after the last layer.
    final: Float[Array, "prompt source row width"]
    # What every node writes, `[layer, prompt, source, row, …]`; None if not kept.
    nodes: NodeOutputs | None


def resume(
    parameters: Parameters,
    start: Prefill,
    sources: NodeOutputs | Array,
    plan: Plan,
    *,
    config: ModelConfig,
    keep_nodes: bool = False,
    rows_at_once: int | None = None,
    stages: int | None = None,
) -> Resumed:
    """Runs every prompt on under every row's patches, for every source.

    Args:
        start: the prompts that are patched.
        sources: what the patched site holds instead, `[layer, prompt, source, *site
            axes]` over the same suffix as `start`; for sets of nodes what they write.
        plan: what each row patches.
        keep_nodes: whether to return what all nodes write in the patched runs. Rows
            then all run from the first layer (this is for a few rows at the answer
            position).
        rows_at_once: rows of a prompt and source that advance together, fewer where
            memory is short. A row that runs over n tokens counts as n.
        stages: steps in which rows join; by default as many as pay for compiling, if
            nothing else is run.
    """
    finals, kept, order = [], [], []
    if stages is None:
        prompts, per_prompt = jax.tree.leaves(sources)[0].shape[1:3]
        stages = stages_that_pay(plan, prompts * per_prompt, config)
    for suffix, rows in row_groups(plan, rows_at_once, stages):
        some = _run_rows(
            parameters,
            _last(start, suffix),
            sources,
            plan.take(rows),
            config=config,
            keep_nodes=keep_nodes,
            stages=stages,
        )
        finals.append(some.final)
        kept.append(some.nodes)
        order.append(rows)
    back = np.argsort(np.concatenate(order))
    final = jnp.concatenate(finals, axis=2)[:, :, back]
    if not keep_nodes:
        return Resumed(final, None)
    nodes = jax.tree.map(lambda *n: jnp.concatenate(n, axis=3)[:, :, :, back], *kept)
    return Resumed(final, nodes)


def _last(start: Prefill, suffix: int) -> Prefill:
    """The same pass with fewer of its last tokens kept."""
    if suffix > start.suffix:
        raise ValueError(
            f"patches begin {suffix} tokens from the end, and the pass kept "
            f"{start.suffix}; ask `prefill` for suffix={suffix}."
        )
    return dataclasses.replace(start, resid_pre=start.resid_pre[:, :, -suffix:])


def _run_rows(
    parameters, start, sources, plan, *, config, keep_nodes, stages
) -> Resumed:
    """Rows in order of birth, over one number of last tokens."""
    births, suffix = plan.births, start.suffix
    if keep_nodes:
        births = np.zeros_like(births)
    constants = layer_constants(config)
    shape = jax.tree.leaves(sources)[0].shape[1:3]  # prompts, sources
    shares = RowShares.that_fill(shape, rows=len(births))
    births, sources = shares.earliest(births), shares.repeat_sources(sources)
    shape = jax.tree.leaves(sources)[0].shape[1:3]
    x = jnp.zeros((*shape, 0, suffix, config.width), start.resid_pre.dtype)
    before_all = 0 if start.prefix is None else start.prefix.length
    to_answer = np.arange(suffix, dtype=np.int32)[::-1] - before_all
    places = places_of(start.answer_position[:, None] - to_answer[None], config)
    kept, layer = [], 0
    for group, blocks in zip(parameters.layers, _pasts(start), strict=True):
        for index in range(jax.tree.leaves(group)[0].shape[0]):
            alive = _alive(births, layer, stages)
            if alive > x.shape[2]:
                x = _join(x, start.resid_pre, births[x.shape[2] : alive])
            if alive:
                rows = shares.deal_rows(rows_at(plan, layer))
                x, nodes = _advance(
                    (group, blocks, np.int32(index)),
                    (constants, sources, np.int32(layer)),
                    x,
                    places,
                    jax.tree.map(lambda a: a[:, :, :alive], rows),  # noqa: B023
                    births[:alive] <= layer,
                    edits_of=row_edits(plan),
                    config=config,
                    keep_nodes=keep_nodes,
                )
                kept.append(nodes)
            layer += 1
    nodes = jax.tree.map(lambda *n: shares.join(jnp.stack(n), axis=2), *kept)
    return Resumed(shares.join(x[:, :, :, -1], axis=1), nodes)


def _pasts(start: Prefill) -> list[tuple[Block, ...]]:
    """Per segment the blocks that rows read: those of a shared prefix, the prompts'."""
    if start.prefix is None:
        return [(block,) for block in start.blocks]
    return list(zip(start.prefix.blocks, start.blocks, strict=True))


def _alive(births: Int[np.ndarray, " row"], layer: int, stages: int) -> int:
    """Rows present in a layer: those born, rounded up to a whole stage."""
    stage = -(-len(births) // stages)
    born = int((births <= layer).sum())
    return min(len(births), -(-born // stage) * stage)


def _of_layer(*stacks_and_index):
    *stacks, index = stacks_and_index
    return jax.tree.map(lambda a: jnp.asarray(a)[index], stacks)


@jax.jit
def _join(x, resid_pre, births):
    """Appends rows as copies of the clean residual at their birth layers."""
    born = jnp.moveaxis(resid_pre[births], 0, 1)[:, None]  # [prompt, 1, row, …]
    born = jnp.broadcast_to(born, (*x.shape[:2], *born.shape[2:]))
    return sharding.rows_over_data(jnp.concatenate([x, born], axis=2), leading=2)


@functools.partial(jax.jit, static_argnames=("edits_of", "config", "keep_nodes"))
def _advance(
    segment,
    model,
    x,
    places,
    rows,
    is_born,
    *,
    edits_of: RowEdits,
    config,
    keep_nodes,
):
    """One layer for all rows `[prompt, source, row, suffix, width]`; unborn rows stay.

    What it needs of the layer it picks out of stacks itself: the host would start a
    small program for each.

    Args:
        segment: parameters and blocks (of any prefix, of the prompts) of a segment, and
            which of its layers this is.
        model: constants and sources of all layers, and which of those.
    """
    wishes = (Capture(site=Site.Z), Capture(site=Site.MLP_OUT)) if keep_nodes else ()
    group, (*shared, blocks) = _of_layer(*segment)
    shared = [jax.tree.map(lambda a: a[0], block) for block in shared]
    before_all = sum(block.keys.shape[0] for block in shared)
    constants, sources = _of_layer(*model)
    group = sharding.gather_weights(group)
    x = sharding.rows_over_data(x, leading=2)  # [prompt, source, …]
    suffix = x.shape[3]
    # The keys that the longest prompt has before its suffix; shorter ones mask some.
    earlier = blocks.keys.shape[1] - suffix
    # Masks and indices that all prompts or sources share are not copied for each.
    of_prompts, of_sources = (
        jax.tree.map(lambda a: 0 if a.shape[axis] > 1 else None, rows)  # noqa: B023
        for axis in (0, 1)
    )
    rows = jax.tree.map(
        lambda a: a.reshape(*(n for n in a.shape[:2] if n > 1), *a.shape[2:]), rows
    )

    def run(x, row, source, past, places):
        here = Here(constants.layer, places.positions, before_all + earlier)
        edits = edits_of(row, source, here, config)
        past = past._replace(length=places.positions[0] - before_all)
        past = (*shared, *((past,) if earlier else ()))
        out, _, captured = transformer.layer.apply(
            group, x, past, places, constants, edits, wishes, config
        )
        return out, [c[-1] for c in captured]

    past = Block(
        keys=blocks.keys[:, :earlier],
        values=blocks.values[:, :earlier],
        positions=blocks.positions[:, :earlier],
        length=blocks.length,
    )
    over_rows = jax.vmap(run, in_axes=(0, 0, None, None, None))
    over_sources = jax.vmap(over_rows, in_axes=(0, of_sources, 0, None, None))
    over_prompts = jax.vmap(over_sources, in_axes=(0, of_prompts, 0, 0, 0))
    moved, captured = over_prompts(x, rows, sources, past, places)
    nodes = NodeOutputs(*captured) if keep_nodes else None
    return jnp.where(is_born[None, None, :, None, None], moved, x), nodes
