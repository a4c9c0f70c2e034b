"""Two edits that both claim the same numbers, found before anything runs."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax.interventions.edits import Edit, Kind, is_concrete


def check_conflicts(edits: Sequence[Edit], sizes: Mapping[str, int]) -> None:
    """Raises ValueError if two patches of weight 1 meet: the first would be lost.

    Only where the values are at hand; other edits compose in the order given.

    Args:
        sizes: of every axis, "position" being that of the whole sequence.
    """
    patches = [edit for edit in edits if _is_patch(edit)]
    for one, other in itertools.combinations(patches, 2):
        if one.site is not other.site:
            continue
        for layer in _layers_of_both(one, other):
            claims = (_claimed(edit, int(layer), sizes) for edit in (one, other))
            if np.logical_and(*claims).any():
                raise ValueError(
                    f"two patches of {one.site} in layer {layer} meet: {one}; {other}. "
                    "Only the later would count; give them different places, or leave "
                    "one out."
                )


def _layers_of_both(one: Edit, other: Edit) -> list[int]:
    """Where two edits can meet; one layer stands for all if both are in every one."""
    layers = [edit.layer_of_slot for edit in (one, other)]
    named = [np.asarray(some) for some in layers if some is not None]
    if not named:
        return [0]
    return functools.reduce(np.intersect1d, named).tolist()


def _is_patch(edit: Edit) -> bool:
    """Whether an edit replaces what everyone reads, at places that are known."""
    arrays = (edit.layers, edit.positions, edit.units, edit.keys, edit.weight)
    is_for_all = edit.kind is Kind.INTERPOLATE and edit.readers is None
    return is_for_all and is_concrete(*arrays)


def _claimed(
    edit: Edit, layer: int, sizes: Mapping[str, int]
) -> Bool[np.ndarray, "..."]:
    """Where an edit has weight 1, `[row, *site axes]`; axes may have size 1."""
    layers = edit.layer_of_slot
    slot = 0 if layers is None else int(np.argmax(np.asarray(layers) == layer))
    claimed = selected_weight(edit, slot, sizes) == 1
    if edit.positions is None:
        return claimed
    return _at_full_length(edit, claimed, sizes["position"])


def selected_weight(
    edit: Edit, slot: int, sizes: Mapping[str, int]
) -> Float[np.ndarray, "..."]:
    """Returns the weight of one slot, 0 for heads, neurons and keys not selected.

    `[row, *site axes]`, where axes may have size 1.
    """
    weight = np.asarray(edit.weight)[slot]
    shape = tuple(sizes[axis] for axis in edit.site.axes)
    for indices, axes in edit.selectors:
        weight = weight * _masks(np.asarray(indices)[slot], axes, shape)
    return weight


def _masks(
    indices: Int[np.ndarray, "row selected"],
    axes: tuple[int, ...],
    shape: tuple[int, ...],
) -> Bool[np.ndarray, "..."]:
    sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    flat = np.zeros((len(indices), math.prod(sizes)), bool)
    np.put_along_axis(flat, indices, True, axis=1)
    return flat.reshape(len(indices), *sizes)


def _at_full_length(edit: Edit, claimed: np.ndarray, length: int) -> np.ndarray:
    """From the selected positions to a place among all of them."""
    positions, axis = np.asarray(edit.positions), 1 + edit.site.position_axis
    by_position = np.moveaxis(claimed, axis, 1)
    rows = max(len(by_position), len(positions))
    selected = (rows, positions.shape[1])
    by_position = np.broadcast_to(by_position, (*selected, *by_position.shape[2:]))
    positions = np.broadcast_to(positions, selected)
    full = np.zeros((rows, length, *by_position.shape[2:]), bool)
    row, place, *rest = np.nonzero(by_position)
    full[(row, positions[row, place], *rest)] = True
    return np.moveaxis(full, 1, axis)
