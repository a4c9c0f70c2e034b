"""Whether patches move their own sites: one that does not finds nothing, silently."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.passes.plans import NodeSets, Patches, Plan
from mcq_jax.sweeps.sources import Sources


def check_that_patches_move(
    found: Bool[np.ndarray, "prompt source row"], sources: Sources
) -> None:
    """Raises ValueError where a source changes nothing under any row."""
    still = np.argwhere(~found.any(axis=2))
    if len(still):
        prompt, kind = still[0]
        raise ValueError(
            f"prompt {prompt} and its source {sources.index[prompt, kind]} "
            f"({sources.kinds[kind]}) hold the same wherever the plan patches: nothing "
            "would change. Choose another."
        )


def moved(
    held: Any, plan: Plan, index: Int[np.ndarray, "prompt source"]
) -> Bool[np.ndarray, "prompt source row"]:
    """Returns whether a row's source holds anything else at what it patches.

    Args:
        held: what the patched sites hold, `[layer, prompt, …]`, as numpy arrays.
        index: the prompt that each source is.
    """
    if isinstance(plan, NodeSets):
        return _moved_by_sets(held, plan, index)
    found = [
        [
            _moved_by_patches(held, plan, prompt, source, number)
            for number, source in enumerate(row)
        ]
        for prompt, row in enumerate(index)
    ]
    return np.array(found)


def _moved_by_sets(held, plan: NodeSets, index):
    """By one product of nodes that differ and nodes that a row patches."""

    def differing(prompt: int, source: int):
        by_node = [
            (a[:, prompt] != a[:, source]).reshape(len(a), -1, a.shape[-1]).any(-1)
            for a in (held.z, held.mlp[:, :, None])
        ]
        return np.concatenate(by_node, axis=1).reshape(-1)

    nodes = [differing(p, source) for p, row in enumerate(index) for source in row]
    masks = plan.masks.reshape(len(plan.masks), -1)
    found = np.array(nodes, np.float32) @ masks.T.astype(np.float32) > 0
    return found.reshape(*index.shape, len(masks))


def _moved_by_patches(held, plan: Patches, prompt: int, source: int, number: int):
    axis = plan.site.position_axis
    own = plan.offsets[prompt % len(plan.offsets)]
    other = plan.offsets[source % len(plan.offsets)]
    if plan.source_offsets is not None:
        table = plan.source_offsets[prompt % len(plan.source_offsets)]
        other = table[number % len(table)]
    found = np.zeros(len(plan.layers), bool)
    for layer in np.unique(plan.layers):
        rows = np.flatnonzero(plan.layers == layer)
        at = [a[layer, p] for a, p in ((held, prompt), (held, source))]
        size = at[0].shape[axis]
        first, second = (
            np.take(a, where[rows] + size, axis=axis)
            for a, where in zip(at, (own, other), strict=True)
        )
        # [row, selected, …]
        differs = np.moveaxis(first != second, (axis, axis + 1), (0, 1))
        found[rows] = _in_units(differs, plan, rows, axis)
    return found


def _in_units(differs, plan: Patches, rows, axis: int) -> Bool[np.ndarray, " row"]:
    """Any difference, within the heads or neurons that each row patches."""
    if plan.units is None:
        return differs.reshape(len(rows), -1).any(axis=1)
    # Behind row and selected position stand the site's axes but its position.
    names = [i for i in range(len(plan.site.axes)) if i != axis]
    kept = [2 + names.index(unit) for unit in plan.site.unit_axes]
    others = tuple(i for i in range(1, differs.ndim) if i not in kept)
    by_unit = np.any(differs, axis=others).reshape(len(rows), -1)
    return np.any(np.take_along_axis(by_unit, plan.units[rows], axis=1), axis=1)
