"""Interventions as values: what to change (`Edit`) and what to keep (`Capture`).

Both are pytrees. Their structure (site, kind, which layers are kept) is static;
everything that varies across a sweep is an array, so one compiled program serves
all of it, and edits can be batched, vmapped, differentiated and sharded.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from mcq_jax.arguments import as_array, as_integers, refuse_unknown
from mcq_jax.interventions import rows, selection, wording
from mcq_jax.interventions.selection import Indices
from mcq_jax.interventions.sites import Site


class Kind(enum.Enum):
    """How an edit combines the activation x, its value v and its weight w."""

    INTERPOLATE = "x at w = 0, v at w = 1, linear between"
    ADD = "x + w * v"
    SCALE = "x * (1 - w + w * v)"
    APPLY = "x at w = 0, function(x, *arguments) at w = 1, linear between"


@rows.pytree
@dataclasses.dataclass(frozen=True)
class Argument:
    """One array argument of an edit's function: `[slot, row, …]`, any of size 1."""

    values: Array = rows.array(1)


@rows.pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """A change of one site. Build it with `patch`, `add`, `scale`, `apply`, …

    `weight` and `value` have the axes of the activation itself, after slot and row:
    any axis may have size 1, and the position axis runs over `positions` if these are
    given. Heads, neurons and keys that are not selected have weight 0. Several edits
    of one site apply in the order in which they are given. `print(edit)` reads it out.
    """

    site: Site = rows.static()
    kind: Kind = rows.static()
    # Of kind APPLY; module-level, so that it is the same object in every call.
    function: Callable[..., Array] | None = rows.static(default=None)
    # Which layer each slot belongs to, [slot]; no slot, no change. None is all: one
    # slot for every layer alike, or one slot for each.
    layers: Array | None = rows.array(rows.NO_ROWS)
    positions: Array | None = rows.array(0)  # [row, selected]; None is all
    # The site's heads (kv heads for keys and values) or neurons; None is all.
    units: Array | None = rows.array(1, default=None)  # [slot, row, selected]
    # Of scores and pattern: the positions that are looked at.
    keys: Array | None = rows.array(1, default=None)  # [slot, row, selected]
    # Of keys and values: the queries that read the change (see `model.read_by`), bool
    # [slot, row, query, kv_head, group]; None is all of them.
    readers: Array | None = rows.array(1, default=None)
    weight: Array = rows.array(1)  # [slot, row, *site axes]
    # What APPLY does not use (0 there).
    value: Array = rows.array(1)  # [slot, row, *site axes]
    arguments: tuple[Argument, ...] = rows.nested(default=())

    @property
    def slots(self) -> int:
        """How many layers have values of their own; 1 where all share one."""
        return self.weight.shape[0] if self.layers is None else self.layers.shape[0]

    @property
    def layer_of_slot(self) -> Array | np.ndarray | None:
        """Which layer each slot belongs to, [slot]; None: the one slot is for all."""
        if self.layers is None and self.slots > 1:
            return np.arange(self.slots)
        return self.layers

    @property
    def selectors(self) -> list[tuple[Array, tuple[int, ...]]]:
        """Index arrays other than positions, each with the site's axes it runs over."""
        both = ((self.units, self.site.unit_axes), (self.keys, self.site.key_axes))
        return [(indices, axes) for indices, axes in both if indices is not None]

    def __str__(self) -> str:
        return wording.describe(self)


@rows.pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Capture:
    """A wish to see one site: all of it, or some layers, positions, heads, … of it.

    What is not selected is not kept. Selected heads stand on one axis where the site
    has those of heads (two of query heads), as do neurons and keys on theirs.
    `Capture.of` reads what people write.
    """

    site: Site = rows.static()
    layers: tuple[int, ...] | None = rows.static(default=None)
    positions: Array | None = rows.array(0, default=None)  # [row, selected]
    # The site's heads (kv heads for keys and values) or neurons; None is all.
    units: Array | None = rows.array(0, default=None)  # [row, selected]
    # Of scores and pattern: the positions that are looked at.
    keys: Array | None = rows.array(0, default=None)  # [row, selected]

    @classmethod
    def of(
        cls,
        site: Site | str,
        *,
        layers: int | Sequence[int] | None = None,
        positions: Indices | None = None,
        heads: Indices | None = None,
        neurons: Indices | None = None,
        keys: Indices | None = None,
        **unknown: Any,
    ) -> "Capture":
        """Returns a capture from a site or any of its names, and lists of indices.

        Args:
            heads: query heads; at K, V and ROT_K the kv heads.
            keys: of SCORES and PATTERN, what is looked at; `positions` is who looks.
        """
        known = ("layers", "positions", "heads", "neurons", "keys")
        refuse_unknown("a capture", unknown, known)
        site, found = selection.named(site, layers)
        what = f"a capture of {site}"
        units = selection.units(what, site, heads, neurons, 1)
        chosen = None if keys is None else selection.keys(what, site, keys, 1)
        return cls(
            site=site,
            layers=None if found is None else as_integers(found, f"layers of {what}"),
            positions=None
            if positions is None
            else selection.indices(f"positions of {what}", positions, rank=2),
            units=None if units is None else units[0],
            keys=None if chosen is None else chosen[0],
        )

    @property
    def selectors(self) -> list[tuple[Array, tuple[int, ...]]]:
        """Index arrays other than positions, each with the site's axes it runs over."""
        both = ((self.units, self.site.unit_axes), (self.keys, self.site.key_axes))
        return [(indices, axes) for indices, axes in both if indices is not None]

    def keeps(self, layer: int) -> bool:
        return self.layers is None or layer in self.layers

    def as_asked(self, kept: Array) -> Array:
        """Returns what was kept, layers in the order in which they were named."""
        if self.layers is None or not self.site.per_layer:
            return kept
        upwards = sorted(set(self.layers))
        order = [upwards.index(layer) for layer in self.layers]
        return kept if order == list(range(len(kept))) else kept[np.array(order)]


class Where(TypedDict, total=False):
    """Which part of a site an edit changes, and how much; all of it by default.

    Indices are arrays: other values, same compiled program.
    """

    # One per slot of what is given. Left out, they are all layers: one slot serves
    # every layer, as many slots as the model has layers serve one each.
    layers: Indices | None
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
    Without `layers`, one layer's source goes into every layer, and that of all layers
    into each its own.
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
    name = f"an argument of {getattr(function, '__name__', function)}"
    wrapped = tuple(
        Argument(as_array(a.values, name, "give an array [slot, row, …]"))
        if isinstance(a, Argument)
        else Argument(as_array(a, name)[None, None])
        for a in arguments
    )
    for values in (argument.values for argument in wrapped):
        if values.ndim < 2:
            raise ValueError(
                f"{name} has shape {values.shape}; as an Argument it has axes [slot, "
                "row, …], each of which may be 1."
            )
    slots = max((len(argument.values) for argument in wrapped), default=1)
    edit = _edit(Kind.APPLY, site, 0.0, own_slots=slots, **where)
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
    own_slots: int = 1,
    **unknown: Any,
) -> Edit:
    """`own_slots` are those of arguments that are added later."""
    refuse_unknown("an edit", unknown, Where.__annotations__)
    site, layers = selection.resolve(site, layers)
    what = f"an edit of {site}"
    if positions is not None:
        positions = selection.indices(f"positions of {what}", positions, rank=2)
    weights = _with_slots(f"weight of {what}", weight, site)
    values = _with_slots(f"value of {what}", value, site)
    if layers is not None:
        slots = layers.size
    elif site.per_layer:
        slots = max(len(weights), len(values), own_slots)
    else:
        slots = 1
    if keys is not None:
        keys = selection.keys(what, site, keys, slots)
    return Edit(
        site=site,
        kind=kind,
        layers=layers,
        positions=positions,
        units=selection.units(what, site, heads, neurons, slots),
        keys=keys,
        weight=_over_slots(f"weight of {what}", weights, slots),
        value=_over_slots(f"value of {what}", values, slots),
    )


def _with_slots(what: str, numbers: ArrayLike, site: Site) -> Array:
    """`[slot, row, *site axes]` from a number or an array."""
    array, rank = as_array(numbers, what), 2 + len(site.axes)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{what} has complex numbers; activations are real.")
    if not site.per_layer and array.ndim == rank - 1:
        array = array[None]  # as captures of such a site come
    if array.ndim not in (0, rank):
        raise ValueError(
            f"{what} has shape {array.shape}; give a number "
            f"or an array with axes {('slot', 'row', *site.axes)}, any of size 1."
        )
    return array.astype(float).reshape((1,) * (rank - array.ndim) + array.shape)


def _over_slots(what: str, array: Array, slots: int) -> Array:
    if array.shape[0] not in (1, slots):
        raise ValueError(
            f"{what} has {array.shape[0]} slots for {slots} layers; name one layer per "
            "slot, leave the layers out for all of them, or give a single slot."
        )
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
