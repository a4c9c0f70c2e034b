"""What to change (`TagEdit`) and what to keep (`TagCapture`) of a named value.

As with `interventions.Edit`, the structure (name, kind, axis) is static and all else
is an array, so a batch of edits can be vmapped, differentiated and passed to `jit`.
A foreign value has no axes that we know by name, hence `axis` and `indices`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from mcq_jax.interventions import Kind
from mcq_jax.interventions.edits import check_function


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TagEdit:
    """A change of one named value. Build it with `patch`, `add`, `scale` or `apply`.

    `weight` and `value` are numbers, or have the value's shape (any axis may have size
    1; `axis` has one entry per index), or have one more axis in front: a slot for each
    of `layers`. Several edits of one name apply in the order in which they are given.
    """

    name: str = dataclasses.field(metadata={"static": True})
    kind: Kind = dataclasses.field(metadata={"static": True})
    # Of kind APPLY; module-level, so that it is the same object in every call.
    function: Callable[..., Array] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )
    axis: int | None = dataclasses.field(default=None, metadata={"static": True})
    layers: Array | None  # [slot]; iterations of the loops around it; None: all
    indices: Array | None  # [selected]; entries along `axis`; None: all
    weight: Array
    value: Array  # what APPLY does not use (0 there)
    arguments: tuple[Array, ...] = ()  # of APPLY, the same in every layer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TagCapture:
    """A wish to see one named value: all iterations or some, all of an axis or some."""

    name: str = dataclasses.field(metadata={"static": True})
    layers: tuple[int, ...] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )
    axis: int | None = dataclasses.field(default=None, metadata={"static": True})
    # Entries along `axis`, [selected]. An array may be traced.
    indices: int | Sequence[int] | Array | None = None


class Where(TypedDict, total=False):
    """Which part of a named value an edit changes, and how much; all by default."""

    # Iterations of the loops around the value, from 0 in the order of the stack (the
    # inner loop fastest), or from the end if negative.
    layers: int | Sequence[int] | Array | None
    # An axis of the value itself, and entries along it: give both or neither.
    axis: int | None
    indices: int | Sequence[int] | Array | None
    # A number, or an array as `TagEdit` says; at 0 the edit does nothing.
    weight: ArrayLike


def patch(name: str, source: ArrayLike, **where: Unpack[Where]) -> TagEdit:
    """Returns the edit that replaces a value by `source` (where `weight` is 1).

    What a capture with the same `layers`, `axis` and `indices` returns is a source.
    """
    return _edit(Kind.INTERPOLATE, name, source, **where)


def add(name: str, direction: ArrayLike, **where: Unpack[Where]) -> TagEdit:
    """Returns the edit that adds `weight * direction` to a value (steering)."""
    return _edit(Kind.ADD, name, direction, **where)


def scale(name: str, factor: ArrayLike, **where: Unpack[Where]) -> TagEdit:
    """Returns the edit that multiplies a value by `factor` (where `weight` is 1)."""
    return _edit(Kind.SCALE, name, factor, **where)


def apply(
    name: str,
    function: Callable[..., Array],
    *arguments: ArrayLike,
    **where: Unpack[Where],
) -> TagEdit:
    """Returns the edit that puts `function(x, *arguments)` in place of a value x.

    Args:
        function: pure and module-level, such as `interventions.projections.onto_basis`.
            It keeps the shape of x, runs in every layer and must be finite there.
    """
    check_function(function)
    edit = _edit(Kind.APPLY, name, 0.0, **where)
    arrays = tuple(jnp.asarray(argument) for argument in arguments)
    return dataclasses.replace(edit, function=function, arguments=arrays)


def _edit(
    kind: Kind,
    name: str,
    value: ArrayLike,
    *,
    layers: int | Sequence[int] | Array | None = None,
    axis: int | None = None,
    indices: int | Sequence[int] | Array | None = None,
    weight: ArrayLike = 1.0,
) -> TagEdit:
    what = f"an edit of {name!r}"
    if (axis is None) != (indices is None):
        raise ValueError(
            f"{what} has axis {axis} and indices {indices}; give both, "
            "or neither to change the whole value."
        )
    return TagEdit(
        name=name,
        kind=kind,
        axis=axis,
        layers=None if layers is None else index_array(layers, f"layers of {what}"),
        indices=None if indices is None else index_array(indices, f"indices of {what}"),
        weight=_inexact(weight),
        value=_inexact(value),
    )


def index_array(numbers: int | Sequence[int] | Array, what: str) -> Array:
    """Returns whole numbers as an array with one axis; `what` names them in errors."""
    array = jnp.atleast_1d(jnp.asarray(numbers))
    if array.size == 0:
        raise ValueError(f"{what} are none, which selects nothing; give at least one.")
    if array.ndim > 1 or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"{what} are {array.dtype}{list(array.shape)}; give a whole number or a "
            "list of them."
        )
    return array.astype(jnp.int32)


def _inexact(number: ArrayLike) -> Array:
    array = jnp.asarray(number)
    is_inexact = jnp.issubdtype(array.dtype, jnp.inexact)
    return array if is_inexact else array.astype(float)
