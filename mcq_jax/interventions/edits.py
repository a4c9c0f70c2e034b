"""Interventions as values: what to change (`Edit`) and what to keep (`Capture`).

Both are pytrees. Their structure (site, kind, which layers are kept) is static;
everything that varies across a sweep is an array, so one compiled program serves
all of it, and edits can be batched, vmapped, differentiated and sharded.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import TypedDict, Unpack

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from mcq_jax.interventions import selection, wording
from mcq_jax.interventions.selection import Indices
from mcq_jax.interventions.sites import Site


class Kind(enum.Enum):
    """How an edit combines the activation x, its value v and its weight w."""

    INTERPOLATE = "x at w = 0, v at w = 1, linear between"
    ADD = "x + w * v"
    SCALE = "x * (1 - w + w * v)"
    APPLY = "x at w = 0, function(x, *arguments) at w = 1, linear between"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Argument:
    """One array argument of an edit's function: `[slot, row, …]`, any of size 1."""

    values: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """A change of one site. Build it with `patch`, `add`, `scale`, `apply`, …

    `weight` and `value` have the axes of the activation itself, after slot and row:
    any axis may have size 1, and the position axis runs over `positions` if these are
    given. Heads, neurons and keys that are not selected have weight 0. Several edits
    of one site apply in the order in which they are given. `print(edit)` reads it out.
    """

    site: Site = dataclasses.field(metadata={"static": True})
    kind: Kind = dataclasses.field(metadata={"static": True})
    # Of kind APPLY; module-level, so that it is the same object in every call.
    function: Callable[..., Array] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )
    # Which layer each slot belongs to; no slot, no change.
    layers: Array  # [slot]
    positions: Array | None  # [row, selected]
    # The site's heads (kv heads for keys and values) or neurons; None is all.
    units: Array | None = None  # [slot, row, selected]
    # Of scores and pattern: the positions that are looked at.
    keys: Array | None = None  # [slot, row, selected]
    # Of keys and values: the queries that read the change (see `model.read_by`); None
    # is all of them.
    readers: Array | None = None  # bool [slot, row, query, kv_head, group]
    weight: Array  # [slot, row, *site axes]
    # What APPLY does not use (0 there).
    value: Array  # [slot, row, *site axes]
    arguments: tuple[Argument, ...] = ()

    @property
    def selectors(self) -> list[tuple[Array, tuple[int, ...]]]:
        """Index arrays other than positions, each with the site's axes it runs over."""
        both = ((self.units, self.site.unit_axes), (self.keys, self.site.key_axes))
        return [(indices, axes) for indices, axes in both if indices is not None]

    def __str__(self) -> str:
        return wording.describe(self)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Capture:
    """A wish to see one site: all layers or some, all positions or some."""

    site: Site = dataclasses.field(metadata={"static": True})
    layers: tuple[int, ...] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )
    positions: Array | None = None  # [row, selected]

    def keeps(self, layer: int) -> bool:
        return self.layers is None or layer in self.layers


class Where(TypedDict, total=False):
    """Which part of a site an edit changes, and how much; all of layer 0 by default.

    Indices are arrays: other values, same compiled program.
    """

    layers: Indices
    # [selected], or [row, selected] where rows differ: see `last` and `from_end`.
    positions: Indices | None
    # [selected], [row, selected] or [slot, row, selected], as are neurons and keys.
    # Query heads; at K, V and ROT_K the kv heads.
    heads: Indices | None
    neurons: Indices | None
    # Of SCORES and PATTERN: what is looked at; `positions` is who looks.
    keys: Indices | None
    # A number, or [slot, row, *site axes]; at 0 the edit does nothing.
    weight: ArrayLike


def patch(site: Site | str, source: ArrayLike, **where: Unpack[Where]) -> Edit:
    """Returns the edit that replaces a site by `source` (where `weight` is 1).

    The source is a number or an activation as a capture returns it, `[layer, row,
    *site axes]`: layers and positions are those selected, heads and neurons all.
    """
    return _edit(Kind.INTERPOLATE, site, source, **where)


def add(site: Site | str, direction: ArrayLike, **where: Unpack[Where]) -> Edit:
    """Returns the edit that adds `weight * direction` to a site (steering)."""
    return _edit(Kind.ADD, site, direction, **where)


def scale(site: Site | str, factor: ArrayLike, **where: Unpack[Where]) -> Edit:
    """Returns the edit that multiplies a site by `factor` (where `weight` is 1)."""
    return _edit(Kind.SCALE, site, factor, **where)


def apply(
    site: Site | str,
    function: Callable[..., Array],
    *arguments: ArrayLike | Argument,
    **where: Unpack[Where],
) -> Edit:
    """Returns the edit that puts `function(x, *arguments)` in place of a site's x.

    Args:
        function: pure and module-level. It sees one sequence's activation, with the
            site's axes (of positions: those selected), and keeps its shape. It runs
            in every layer and must be finite there.
        arguments: arrays, the same for all layers and rows; those that differ are
            given as `Argument(values)` with axes `[slot, row, …]`.
    """
    check_function(function)
    edit = _edit(Kind.APPLY, site, 0.0, **where)
    wrapped = tuple(
        a if isinstance(a, Argument) else Argument(jnp.asarray(a)[None, None])
        for a in arguments
    )
    return dataclasses.replace(edit, function=function, arguments=wrapped)


def _edit(
    kind: Kind,
    site: Site | str,
    value: ArrayLike,
    *,
    layers: Indices | None = None,
    positions: Indices | None = None,
    heads: Indices | None = None,
    neurons: Indices | None = None,
    keys: Indices | None = None,
    weight: ArrayLike = 1.0,
) -> Edit:
    site, layers = selection.resolve(site, layers)
    slots, what = layers.size, f"an edit of {site}"
    if positions is not None:
        positions = selection.indices(f"positions of {what}", positions, rank=2)
    if keys is not None:
        keys = selection.keys(site, keys, slots)
    return Edit(
        site=site,
        kind=kind,
        layers=layers,
        positions=positions,
        units=selection.units(site, heads, neurons, slots),
        keys=keys,
        weight=_per_slot("weight", weight, site, slots),
        value=_per_slot("value", value, site, slots),
    )


def _per_slot(name: str, numbers: ArrayLike, site: Site, slots: int) -> Array:
    """`[slot, row, *site axes]` from a number or an array."""
    array = jnp.asarray(numbers)
    what, rank = f"{name} of an edit of {site}", 2 + len(site.axes)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{what} has complex numbers; activations are real.")
    if not site.per_layer and array.ndim == rank - 1:
        array = array[None]  # as captures of such a site come
    if array.ndim not in (0, rank):
        raise ValueError(
            f"{what} has shape {array.shape}; give a number "
            f"or an array with axes {('slot', 'row', *site.axes)}, any of size 1."
        )
    if array.ndim and array.shape[0] not in (1, slots):
        raise ValueError(
            f"{what} has {array.shape[0]} slots for {slots} layers; give one slot per "
            "layer, or a single one."
        )
    array = array.astype(float).reshape((1,) * (rank - array.ndim) + array.shape)
    return jnp.broadcast_to(array, (slots, *array.shape[1:]))


def check_function(function: Callable[..., Array]) -> None:
    """Refuses a function that would be another one in every call."""
    name = getattr(function, "__name__", repr(function))
    name = getattr(function, "__qualname__", name)  # jax's ufuncs have no such one
    if "<" in name or "." in name or not hasattr(function, "__module__"):
        raise ValueError(
            f"{name} is made anew each time the code around it runs, and a new "
            "function is a new program to compile; write it as `def` at the top of a "
            "module and pass what varies as arguments."
        )


def is_concrete(*arrays: Array | np.ndarray | None) -> bool:
    """Whether all values are at hand: not traced, and on this host."""
    return all(
        array is None
        or not isinstance(array, jax.core.Tracer)
        and getattr(array, "is_fully_addressable", True)
        for array in arrays
    )
