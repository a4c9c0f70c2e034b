"""The same rows by full forward passes: the oracle of the resumed pass.

Slow, and free of its assumptions: whatever a patch changes, a full pass shows.
"""

import dataclasses
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import sharding
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Edit, Site, patch
from mcq_jax.model import ModelConfig, Parameters, forward
from mcq_jax.passes.plans import NodeSets, Patches, Plan
from mcq_jax.passes.prompt_pass import NodeOutputs


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Rows that share their layers, hence a program: indices, and their edits."""

    rows: Int[np.ndarray, " row"]
    edits: tuple[Edit, ...]


def run_fully(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    sources: NodeOutputs | Array,
    plan: Plan,
    *,
    config: ModelConfig,
) -> Float[Array, "prompt source row width"]:
    """Returns what `resume` returns as `final`, one full forward pass per row.

    Arguments are those of `resume`, with tokens in place of a pass over them.
    """
    lengths = np.asarray(lengths)
    births = plan.births
    count = (sources.mlp if isinstance(sources, NodeOutputs) else sources).shape[2]
    final = np.zeros((len(lengths), count, len(births), config.width), np.float32)
    for prompt, length in enumerate(lengths):
        for source in range(count):
            for batch in _batches(plan, sources, prompt, source, length, config):
                rows = (len(batch.rows), tokens.shape[1])
                repeated = jnp.broadcast_to(jnp.asarray(tokens)[prompt], rows)
                at_answer = Capture(
                    site=Site.FINAL_RESID, positions=jnp.array([[length - 1]])
                )
                run = forward(
                    parameters,
                    repeated,
                    batch.edits,
                    config=config,
                    capture=[at_answer],
                )
                found = run.activations[Site.FINAL_RESID][:, 0]
                final[prompt, source, batch.rows] = sharding.on_every_host(found)
    return jnp.asarray(final)


def _batches(
    plan: Plan, sources, prompt: int, source: int, length: int, config: ModelConfig
) -> Iterator[_Batch]:
    if isinstance(plan, NodeSets):
        yield _set_batch(plan, sources, prompt, source, length, config)
        return
    for layer in np.unique(plan.layers):
        rows = np.flatnonzero(plan.layers == layer)
        here = sources[layer, prompt, source]
        yield _site_batch(plan.take(rows), rows, here, prompt, source, length)


def _set_batch(plan: NodeSets, sources, prompt, source, length, config) -> _Batch:
    masks = jnp.moveaxis(jnp.asarray(plan.masks), 0, 1)[:, :, None]
    shape = (*masks.shape[:3], config.kv_heads, config.group, 1)
    z, mlp = (a[:, prompt, source][:, None, None] for a in (sources.z, sources.mlp))
    layers, at = range(config.layers), [[length - 1]]
    heads, blocks = (
        masks[..., : config.heads].reshape(shape),
        masks[..., config.heads :],
    )
    edits = (
        patch(Site.Z, z, layers=layers, positions=at, weight=heads),
        patch(Site.MLP_OUT, mlp, layers=layers, positions=at, weight=blocks),
    )
    return _Batch(np.arange(len(plan.masks)), edits)


def _site_batch(plan: Patches, rows, here, prompt, source, length) -> _Batch:
    """All rows patch one layer; `here` is the source's site in it."""
    axis = plan.site.position_axis
    offsets = plan.offsets[min(prompt, len(plan.offsets) - 1)]
    read = offsets
    if plan.source_offsets is not None:
        table = plan.source_offsets
        read = table[min(prompt, len(table) - 1)]
        read = read[min(source, len(read) - 1)]
    value = jnp.take(here, jnp.asarray(read + here.shape[axis]), axis=axis)
    value = jnp.moveaxis(value, axis, 0)  # rows first
    units = {None: {}, "head": {"heads": plan.units}, "neuron": {"neurons": plan.units}}
    chosen = {} if plan.units is None else units[plan.site.unit]
    edit = patch(
        plan.site,
        value[None],
        layers=plan.layers[:1],
        positions=length + offsets,
        **chosen,
    )
    return _Batch(rows, (edit,))
