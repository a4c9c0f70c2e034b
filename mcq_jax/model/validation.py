"""Checks of a forward pass's inputs, before anything is computed.

Shapes are always known. Values are checked where they are at hand; those that are
traced (inside jit, vmap, grad) are the caller's, or `check_traced`'s.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify
from jaxtyping import Array

from mcq_jax.interventions import Capture, Edit, Kind, Site, check_conflicts
from mcq_jax.interventions.conflicts import selected_weight
from mcq_jax.interventions.edits import is_concrete
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.presence import why_absent


def check_inputs(
    tokens, edits: Sequence[Edit], capture: Sequence[Capture], config: ModelConfig
) -> None:
    """Raises ValueError for what could only fail later, or silently."""
    _check_tokens(tokens, config)
    check_wishes(tokens.shape, edits, capture, config)


def check_wishes(
    shape: tuple[int, int],
    edits: Sequence[Edit],
    capture: Sequence[Capture],
    config: ModelConfig,
) -> None:
    """The same for edits and captures alone, of a run of `[row, position]` tokens."""
    for edit in edits:
        check_edit(edit, shape, config)
        check_places_once(edit)
    check_conflicts(edits, _sizes(shape, config))
    _check_captures(capture, shape, config)


def check_edit(edit: Edit, shape: tuple[int, int], config: ModelConfig) -> None:
    """Raises ValueError if an edit does not fit a run of `[row, position]` tokens."""
    what, sizes = f"an edit of {edit.site}", _sizes(shape, config)
    _check_site(what, edit.site, config)
    _check_positions(what, edit.positions, shape)
    _check_arrays(edit, sizes)
    layers = config.layers if edit.site.per_layer else 1
    if edit.layers is not None:
        _check_range(f"layers of {what}", edit.layers, layers, "the model")
        _check_once(f"layers of {what}", edit.layers)
    elif edit.slots not in (1, layers):
        raise ValueError(
            f"{what} holds the values of {edit.slots} layers, and the model has "
            f"{layers}; name the layers that they belong to (layers=[…])."
        )
    for name, indices, size in _selections(edit, sizes):
        _check_rows(f"{name} of {what}", indices.shape[1], shape[0])
        _check_range(f"{name} of {what}", indices, size, f"{edit.site}")
    for argument in edit.arguments:
        _check_rows(f"an argument of {what}", argument.values.shape[1], shape[0])
        if argument.values.shape[0] not in (1, edit.slots):
            raise ValueError(
                f"an argument of {what} has {argument.values.shape[0]} slots, and the "
                f"edit {edit.slots}; give one per layer, or one for all."
            )
    _check_numbers(what, edit, sizes)


def check_traced(
    edits: Sequence[Edit], shape: tuple[int, int], *, config: ModelConfig
) -> None:
    """The same checks for traced values, by `jax.experimental.checkify`.

    Call it inside a function that is transformed by `checkify.checkify`; its error is
    thrown when the program has run. Positions, layers, heads, neurons and keys must be
    in range, positions not named twice with two values, and values not NaN where the
    weight is not 0 (selected or not).
    """
    for edit in edits:
        check_edit(edit, shape, config)
        what, sizes = f"an edit of {edit.site}", _sizes(shape, config)
        layers = config.layers if edit.site.per_layer else 1
        ranges = _selections(edit, sizes)
        if edit.layers is not None:
            ranges.append(("layers", edit.layers, layers))
        if edit.positions is not None:
            ranges.append(("positions", edit.positions, shape[1]))
        for name, indices, size in ranges:
            inside = ((indices >= 0) & (indices < size)).all()
            message = f"{name} of {what} are not all from 0 to {size - 1}"
            checkify.check(inside, message)
        if edit.positions is not None:
            message = f"positions of {what} name one more than once, with two values"
            checkify.check(~_two_values(edit), message)
        selected = jnp.where(edit.weight != 0, edit.value, 0)
        message = f"{what} has NaN in what it selects of its value"
        checkify.check(~jnp.isnan(selected).any(), message)


def _sizes(shape: tuple[int, int], config: ModelConfig) -> dict[str, int]:
    return {
        "row": shape[0],
        "position": shape[1],
        "key": shape[1],
        "kv_head": config.kv_heads,
        "group": config.group,
        "head_width": config.head_width,
        "width": config.width,
        "neuron": config.neurons,
        "vocabulary": config.vocabulary,
        "one": 1,
    }


def _check_tokens(tokens, config: ModelConfig) -> None:
    if tokens.shape[1] > config.context:
        raise ValueError(
            f"sequences of {tokens.shape[1]} tokens for a context of "
            f"{config.context}; shorten the prompts."
        )
    _check_range("tokens", tokens, config.vocabulary, "the vocabulary")


def _check_arrays(edit: Edit, sizes: dict[str, int]) -> None:
    """Weight and value against the axes of the site."""
    sizes = {**sizes, "slot": edit.slots}
    if edit.positions is not None:
        sizes["position"] = edit.positions.shape[1]
    axes = ("slot", "row", *edit.site.axes)
    expected = tuple(sizes[axis] for axis in axes)
    for name, array in (("weight", edit.weight), ("value", edit.value)):
        fits = len(array.shape) == len(axes) and all(
            have in (1, want) for have, want in zip(array.shape, expected, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{name} of an edit of {edit.site} has shape {array.shape}; its axes "
                f"{axes} have sizes {expected}, and each may also be 1."
            )


def _selections(
    chosen: Edit | Capture, sizes: dict[str, int]
) -> list[tuple[str, Any, int]]:
    """What is selected besides layers and positions: name, indices, how many exist."""
    found, site = [], chosen.site
    if chosen.units is not None:
        count = math.prod(sizes[site.axes[axis]] for axis in site.unit_axes)
        found.append((f"{site.unit}s", chosen.units, count))
    if chosen.keys is not None:
        found.append(("keys", chosen.keys, sizes["key"]))
    return found


def check_places_once(edit: Edit) -> None:
    """Raises ValueError where an edit has two values for one position.

    The last would win, without a word. A place that is named again with the same value
    changes nothing where it replaces: plans fill up their index arrays so.
    """
    if edit.positions is None or not is_concrete(edit.positions):
        return
    ordered = np.sort(np.asarray(edit.positions), axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if not again.any() or _says_the_same(edit):
        return
    row = int(np.flatnonzero(again)[0])
    named = np.asarray(edit.positions)[row].tolist()
    raise ValueError(
        f"positions of an edit of {edit.site} are {named} in row {row}: one is named "
        "more than once, and only one of its values would count; name each once (of "
        "an addition, with the sum)."
    )


def _says_the_same(edit: Edit) -> bool:
    """Whether positions that are named again have equal values and weights."""
    if edit.kind is not Kind.INTERPOLATE or not is_concrete(edit.weight, edit.value):
        return False
    positions = np.asarray(edit.positions)
    for array in (edit.weight, edit.value):
        by_place = np.moveaxis(np.asarray(array), 2 + edit.site.position_axis, 2)
        if by_place.shape[2] == 1:
            continue
        for row, places in enumerate(positions):
            here = by_place[:, row % by_place.shape[1]]
            first = [places.tolist().index(place) for place in places]
            if not np.array_equal(here, here[:, first], equal_nan=True):
                return False
    return True


def _two_values(edit: Edit) -> Array:
    """Whether an edit has two values for one position; as above, but traced."""
    positions = jnp.asarray(edit.positions)
    first = (positions[:, :, None] == positions[:, None, :]).argmax(-1)
    if edit.kind is not Kind.INTERPOLATE:
        return (first != jnp.arange(first.shape[1])).any()
    differ = jnp.array(False)
    for array in (edit.weight, edit.value):
        here = jnp.moveaxis(array, 2 + edit.site.position_axis, 2)
        if here.shape[2] > 1:
            index = first.reshape(1, *first.shape, *(1,) * (here.ndim - 3))
            there = jnp.take_along_axis(here, index, axis=2)
            differ |= ((here != there) & ~(jnp.isnan(here) & jnp.isnan(there))).any()
    return differ


def _check_numbers(what: str, edit: Edit, sizes: dict[str, int]) -> None:
    """A NaN that is selected would spread to every later number."""
    if is_concrete(edit.weight) and np.isnan(np.asarray(edit.weight)).any():
        raise ValueError(f"{what} has NaN in its weight; give numbers.")
    if edit.kind is Kind.APPLY or not is_concrete(edit.value, edit.weight):
        return
    bad = np.isnan(np.asarray(edit.value))
    if not bad.any() or not is_concrete(edit.units, edit.keys):
        return
    weights = [selected_weight(edit, slot, sizes) for slot in range(len(bad))]
    if (bad & (np.stack(weights) != 0)).any():
        raise ValueError(
            f"{what} has NaN in its value where its weight is not 0; mend the source, "
            "or give those places weight 0."
        )


def _check_site(what: str, site: Site, config: ModelConfig) -> None:
    reason = why_absent(site, config)
    if reason is not None:
        raise ValueError(f"{what}, but {reason}.")


def _check_positions(what: str, positions, shape: tuple[int, int]) -> None:
    if positions is None:
        return
    if positions.ndim != 2 or positions.shape[0] not in (1, shape[0]):
        raise ValueError(
            f"positions of {what} have shape {positions.shape}; give [row, selected] "
            f"with {shape[0]} rows, or 1 for all."
        )
    _check_range(f"positions of {what}", positions, shape[1], "the sequences")


def _check_captures(
    capture: Sequence[Capture], shape: tuple[int, int], config: ModelConfig
) -> None:
    sites = [wish.site for wish in capture]
    for site in set(sites):
        if sites.count(site) > 1:
            raise ValueError(
                f"{site} is captured {sites.count(site)} times; ask for it once, with "
                "all the layers and positions that are wanted."
            )
    for wish in capture:
        what = f"a capture of {wish.site}"
        _check_site(what, wish.site, config)
        _check_positions(what, wish.positions, shape)
        for name, indices, size in _selections(wish, _sizes(shape, config)):
            _check_rows(f"{name} of {what}", indices.shape[0], shape[0])
            _check_range(f"{name} of {what}", indices, size, f"{wish.site}")
        if not wish.site.per_layer and wish.layers not in (None, (0,)):
            raise ValueError(
                f"{what} in layers {list(wish.layers or ())}; it is in none of them: "
                "leave layers out."
            )
        bad = [i for i in wish.layers or () if not 0 <= i < config.layers]
        if bad or wish.layers == ():
            raise ValueError(
                f"capture of {wish.site} in layers {wish.layers}; the model has layers "
                f"0 to {config.layers - 1}."
            )


def _check_rows(what: str, found: int, rows: int) -> None:
    if found not in (1, rows):
        raise ValueError(
            f"{what} are given for {found} rows, and the run has {rows}; give one per "
            "row, or one for all."
        )


def _check_once(what: str, layers) -> None:
    if isinstance(layers, jax.core.Tracer):
        return
    values = np.asarray(layers).tolist()
    if not values or len(set(values)) < len(values):
        raise ValueError(
            f"{what} are {values}; name at least one layer, and each only once."
        )


def _check_range(what: str, array, size: int, of: str) -> None:
    if not is_concrete(array):
        return
    values = np.asarray(array)
    if values.size and not (0 <= values.min() and values.max() < size):
        raise ValueError(
            f"{what} run from {values.min()} to {values.max()}; {of} has 0 to "
            f"{size - 1}."
        )
