"""Finds the site of every edit and capture, and refuses what cannot be meant.

What is known while tracing (names, shapes, kinds of number) is checked always; the
numbers in `layers` and `indices` when they are concrete, so outside of `jit`.
"""

import difflib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from mcq_jax.interventions.edits import is_concrete
from mcq_jax.tagged.edits import TagCapture, TagEdit
from mcq_jax.tagged.program import Plan, Visit
from mcq_jax.tagged.sites import TaggedSite

_SHOWN = 8  # names listed in an error


def make_plan(
    sites: Sequence[TaggedSite],
    edits: Sequence[TagEdit],
    captures: Sequence[TagCapture],
    max_steps: int | None,
) -> Plan:
    """Returns what to do where, after checking every edit and capture."""
    edited, captured = {}, {}
    for number, edit in enumerate(edits):
        site = site_called(edit.name, sites)
        _check_edit(edit, site, max_steps)
        edited.setdefault(site.path, []).append(number)
    for number, wish in enumerate(captures):
        site = site_called(wish.name, sites)
        _check_capture(wish, site, max_steps)
        if site.path in captured:
            raise ValueError(f"{wish.name!r} is captured twice; join the two wishes.")
        captured[site.path] = (number,)
    return tuple(
        Visit(
            path=path,
            edits=tuple(edited.get(path, ())),
            captures=captured.get(path, ()),
        )
        for path in dict.fromkeys((*edited, *captured))
    )


def site_called(name: str, sites: Sequence[TaggedSite]) -> TaggedSite:
    """Returns the site of this name; otherwise says which names are near."""
    by_name = {site.name: site for site in sites}
    if name in by_name:
        return by_name[name]
    if not by_name:
        raise ValueError(
            f"{name!r} was asked for, but the function names no value; mark values "
            "with jax.ad_checkpoint.checkpoint_name(x, name), or wrap a Haiku model "
            "in tag_haiku."
        )
    repeats = [known for known in by_name if known.startswith(f"{name}[")]
    if repeats:
        raise ValueError(
            f"{name!r} is the name of {len(repeats)} values; say which: "
            f"{repeats[0]!r} to {repeats[-1]!r}, in the order of the program."
        )
    near = difflib.get_close_matches(name, by_name, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    names = ", ".join(list(by_name)[:_SHOWN]) + (
        ", ..." if len(by_name) > _SHOWN else ""
    )
    raise ValueError(f"no value is called {name!r}; {hint}The names are: {names}.")


def _check_edit(edit: TagEdit, site: TaggedSite, max_steps: int | None):
    what = f"an edit of {site.name!r}"
    _check_reachable(what, site)
    if not jnp.issubdtype(site.dtype, jnp.inexact):
        raise ValueError(
            f"{what} would change {site.dtype} numbers; only floating-point values "
            "can be edited (they may still be captured)."
        )
    slots = _check_layers(what, edit.layers, site, max_steps)
    shape = _check_indices(what, edit.axis, edit.indices, site)
    for name, array in (("weight", edit.weight), ("value", edit.value)):
        _check_shape(f"{name} of {what}", array.shape, shape, slots)
        if jnp.iscomplexobj(array) and not jnp.issubdtype(
            site.dtype, np.complexfloating
        ):
            raise ValueError(f"{name} of {what} is complex; the value is {site.dtype}.")


def _check_capture(wish: TagCapture, site: TaggedSite, max_steps: int | None):
    what = f"a capture of {site.name!r}"
    _check_reachable(what, site)
    if wish.layers is not None:
        _check_layers(what, np.asarray(wish.layers, np.int32), site, max_steps)
    _check_indices(what, wish.axis, wish.indices, site)


def _check_reachable(what: str, site: TaggedSite):
    if site.refused:
        raise ValueError(
            f"{what} is refused: the value lies in {' > '.join(site.inside)}, and "
            f"{site.refused}. Name a value outside of it."
        )


def _check_layers(what: str, layers: Any, site: TaggedSite, max_steps: int | None):
    """Checks the iterations; returns how many slots there are (None: no slot axis)."""
    count = site.layers(max_steps)
    if layers is None:
        return count
    if count is None:
        advice = "give max_steps to count its steps" if site.loops else "leave them out"
        where = "a while loop" if site.loops else "no loop"
        raise ValueError(f"{what} names layers, but it is in {where}; {advice}.")
    _check_range(f"layers of {what}", layers, count)
    return layers.shape[0]


def _check_indices(what: str, axis: int | None, indices: Any, site: TaggedSite):
    """Checks a selection along an axis; returns the shape of what is selected."""
    if (axis is None) != (indices is None):
        raise ValueError(f"{what} needs both axis and indices, or neither.")
    if axis is None:
        return site.shape
    rank = len(site.shape)
    if not -rank <= axis < rank:
        raise ValueError(f"{what} selects along axis {axis} of shape {site.shape}.")
    _check_range(f"indices of {what}", indices, site.shape[axis])
    shape = list(site.shape)
    shape[axis] = indices.shape[0]
    return tuple(shape)


def _check_range(what: str, numbers: Any, size: int):
    if numbers.shape[0] == 0:
        raise ValueError(
            f"{what} are none; an intervention that selects nothing does "
            "nothing, so give at least one."
        )
    if not is_concrete(numbers):
        return
    found = np.asarray(numbers)
    outside = found[(found < -size) | (found >= size)]
    if outside.size:
        raise ValueError(
            f"{what} include {outside[0]}; there are {size}: 0 to {size - 1}, or "
            "negative from the end."
        )
    if np.unique(found % size).size < found.size:
        raise ValueError(f"{what} are {found.tolist()}: one comes twice; give it once.")


def _check_shape(what: str, found: tuple, shape: tuple, slots: int | None):
    fits = len(found) == 0 or _broadcasts(found, shape)
    if not fits and slots is not None:
        fits = found[:1] in ((1,), (slots,)) and _broadcasts(found[1:], shape)
    if not fits:
        slot = (
            ""
            if slots is None
            else f", with or without an axis of {slots} layers in front"
        )
        raise ValueError(
            f"{what} has shape {found}; give a number or an array of shape {shape}"
            f"{slot}, any axis of size 1."
        )


def _broadcasts(found: tuple, shape: tuple) -> bool:
    return len(found) == len(shape) and all(
        size in (1, full) for size, full in zip(found, shape, strict=True)
    )
