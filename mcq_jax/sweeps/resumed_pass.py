"""The resumed pass: a patch at the answer position for the price of what it changes.

A patch at the last token of a prompt leaves all earlier tokens, and all earlier
layers, as they were. So a row (one prompt under one set of patched nodes) is born as
a copy of the clean residual at its first patched layer, and only its last token runs
on, reading the prompt's keys and values. All rows advance together, layer by layer,
through the same `transformer.layer` as the full pass: weights are read once, and a
prompt's keys and values are shared by its rows.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import sharding
from mcq_jax.interventions import Capture, Edit, Kind, Site
from mcq_jax.model import transformer
from mcq_jax.model.attention import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.parameters import Parameters
from mcq_jax.sweeps.prompt_pass import NodeOutputs, Prefill

# Rows join in this many steps: more follow the births closely and compile longer.
STAGES = 8


@dataclasses.dataclass(frozen=True)
class NodeSets:
    """The rows of a sweep: which nodes each of them patches."""

    masks: Bool[np.ndarray, "row layer node"]

    def __post_init__(self):
        empty = np.flatnonzero(~self.masks.any(axis=(1, 2)))
        if len(empty) or not len(self.masks):
            raise ValueError(
                f"rows {empty.tolist()} of {len(self.masks)} patch no node; give every "
                "row at least one."
            )

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        """The first patched layer of each row."""
        return self.masks.any(axis=2).argmax(axis=1)


def every_node(config: ModelConfig) -> NodeSets:
    """Returns one row per node of the model, in the order of `all_nodes`."""
    count = config.layers * config.nodes
    return NodeSets(np.eye(count, dtype=bool).reshape(count, config.layers, -1))


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
    sources: NodeOutputs,
    node_sets: NodeSets,
    *,
    config: ModelConfig,
    keep_nodes: bool = False,
) -> Resumed:
    """Runs every prompt on under every row's patches, for every source.

    Args:
        start: the prompts that are patched.
        sources: what the patched nodes write instead, `[layer, prompt, source, …]`.
        node_sets: which nodes each row patches.
        keep_nodes: whether to return what all nodes write in the patched runs. Rows
            then all run from the first layer (this is for a few rows).
    """
    order = np.argsort(node_sets.births, kind="stable")
    masks, births = node_sets.masks[order], node_sets.births[order]
    if keep_nodes:
        births = np.zeros_like(births)
    constants = layer_constants(config)
    x = jnp.zeros((*sources.mlp.shape[1:3], 0, config.width), start.resid_pre.dtype)
    kept, layer = [], 0
    for group, blocks in zip(parameters.layers, start.blocks, strict=True):
        for index in range(jax.tree.leaves(group)[0].shape[0]):
            alive = _alive(births, layer)
            if alive > x.shape[2]:
                x = _join(x, start.resid_pre, births[x.shape[2] : alive])
            if alive:
                x, nodes = _advance(
                    (group, blocks, np.int32(index)),
                    jax.tree.map(lambda c: c[layer], constants),  # noqa: B023
                    x,
                    start.answer_position,
                    NodeOutputs(sources.z[layer], sources.mlp[layer]),
                    masks[:alive, layer],
                    births[:alive] <= layer,
                    config=config,
                    keep_nodes=keep_nodes,
                )
                kept.append(nodes)
            layer += 1
    back = np.argsort(order)
    nodes = jax.tree.map(lambda *n: jnp.stack(n)[:, :, :, back], *kept)
    return Resumed(x[:, :, back], nodes)


def _alive(births: Int[np.ndarray, " row"], layer: int) -> int:
    """Rows present in a layer: those born, rounded up to a whole stage."""
    stage = -(-len(births) // STAGES)
    born = int((births <= layer).sum())
    return min(len(births), -(-born // stage) * stage)


@jax.jit
def _join(x, resid_pre, births):
    """Appends rows as copies of the clean residual at their birth layers."""
    born = jnp.moveaxis(resid_pre[births], 0, 1)[:, None]  # [prompt, 1, row, width]
    born = jnp.broadcast_to(born, (*x.shape[:2], *born.shape[2:]))
    return sharding.rows_over_data(jnp.concatenate([x, born], axis=2), leading=2)


@functools.partial(jax.jit, static_argnames=("config", "keep_nodes"))
def _advance(
    stack, constants, x, positions, sources, mask, is_born, *, config, keep_nodes
):
    """One layer for all rows `[prompt, source, row, width]`; unborn rows stay."""
    wishes = (Capture(site=Site.Z), Capture(site=Site.MLP_OUT)) if keep_nodes else ()
    group, blocks, index = stack
    group, blocks = jax.tree.map(lambda a: a[index], (group, blocks))
    group = sharding.gather_weights(group)
    x = sharding.rows_over_data(x, leading=2)  # [prompt, source, …]
    past = Block(blocks.keys, blocks.values, blocks.positions, positions)

    def run(x, past, position, source, mask):
        edits = _patch_nodes(source, mask, constants.layer, config)
        out, _, captured = transformer.layer.apply(
            group, x[None], (past,), position[None], constants, edits, wishes, config
        )
        return out[0], [c[0] for c in captured]

    over_rows = jax.vmap(run, in_axes=(0, None, None, None, 0))
    over_sources = jax.vmap(over_rows, in_axes=(0, None, None, 0, None))
    over_prompts = jax.vmap(over_sources, in_axes=(0, 0, 0, 0, None))
    moved, captured = over_prompts(x, past, positions, sources, mask)
    nodes = NodeOutputs(*captured) if keep_nodes else None
    return jnp.where(is_born[None, None, :, None], moved, x), nodes


def _patch_nodes(source: NodeOutputs, mask, layer, config) -> tuple[Edit, Edit]:
    """The edits of one row in one layer: its heads, and its feed-forward block."""
    heads = mask[: config.heads].reshape(1, 1, config.kv_heads, config.group, 1)
    block = mask[None, None, config.heads :]
    return (
        _interpolate(Site.Z, source.z[None, None], heads, layer),
        _interpolate(Site.MLP_OUT, source.mlp[None, None], block, layer),
    )


def _interpolate(site: Site, value, weight, layer) -> Edit:
    return Edit(
        site=site,
        kind=Kind.INTERPOLATE,
        layers=jnp.asarray(layer)[None],
        positions=None,
        weight=weight.astype(value.dtype),
        value=value,
    )
