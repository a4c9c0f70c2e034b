"""Which axis of an array runs over the rows of a batch: each field says so itself.

A layer sees one row at a time; the arrays of edits and captures are then vmapped along
these axes. A field that does not say would be given some axis in silence, so a class
with such a field is refused when it is defined.
"""

import dataclasses
from typing import Any, TypeVar

import jax

# Of arrays that all rows share, such as the layers of an edit.
NO_ROWS = -1

Class = TypeVar("Class", bound=type)


def array(row_axis: int, **options: Any) -> Any:
    """A dataclass field that holds an array (or None), with its row axis."""
    return dataclasses.field(metadata={"row_axis": row_axis}, **options)


def nested(**options: Any) -> Any:
    """A field that holds a tuple of such dataclasses."""
    return dataclasses.field(metadata={"row_axis": None}, **options)


def static(**options: Any) -> Any:
    """A field that is part of the structure, not an array."""
    return dataclasses.field(metadata={"static": True}, **options)


def pytree(kind: Class) -> Class:
    """Registers a frozen dataclass with jax, and checks that its fields say enough."""
    silent = [
        field.name
        for field in dataclasses.fields(kind)
        if not field.metadata.get("static") and "row_axis" not in field.metadata
    ]
    if silent:
        raise TypeError(
            f"{kind.__qualname__}.{silent[0]} does not say which of its axes runs over "
            "rows; declare it by rows.array(axis), rows.nested() or rows.static()."
        )
    return jax.tree_util.register_dataclass(kind)


def row_axes(tree: Any) -> list[int]:
    """Returns the row axis of every leaf, in the order of `jax.tree.leaves`."""
    if isinstance(tree, tuple | list):
        return [axis for item in tree for axis in row_axes(item)]
    found: list[int] = []
    for field in dataclasses.fields(tree):
        value = getattr(tree, field.name)
        if field.metadata.get("static") or value is None:
            continue
        axis = field.metadata["row_axis"]
        found += row_axes(value) if axis is None else [axis]
    return found
