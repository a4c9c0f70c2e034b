"""Which axis of a parameter lies on which axis of the device mesh.

The table here and that of parameters (`mcq_jax.parameter_table`) decide it, and
nothing else does. Activations follow from them: rows are laid over "data" where a pass
begins, and the compiler carries both through the layers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from mcq_jax.parameter_table import parameter

# The mesh axes that an axis is split over; one that is not here is whole everywhere.
# "kv" and "group" are the two parts of the user's axis "model": a model with fewer
# key/value heads than devices splits the query heads of each as well.
MESH_AXES: dict[str, tuple[str, ...]] = {
    "row": ("data",),
    "kv_head": ("kv",),
    "group": ("group",),
    "neuron": ("kv", "group"),
    "vocabulary": ("kv", "group"),
}

# What users call the axes of the mesh.
_AXIS_OF = {"data": "data", "kv": "model", "group": "model"}

# Where parameters are fully sharded, layers also split this axis over "data".
FULLY_SHARDED = {"width": ("data",)}


def parameter_shardings(
    parameters: Any, mesh: Mesh | AbstractMesh, *, fully_sharded: bool = False
) -> Any:
    """Returns the sharding of every parameter, as a tree of the same structure.

    Args:
        parameters: `Parameters`, or a tree of their shapes.
        mesh: of `make_mesh`.
        fully_sharded: whether the layers' weights are split over "data" as well, to be
            gathered layer by layer where they are used. Tables and vectors never are.
    """

    def place(path, leaf):
        is_split = fully_sharded and parameter(_name(path)).is_matrix
        extra = FULLY_SHARDED if is_split else {}
        spec = _spec(axes_of(path, leaf), leaf, dict(mesh.shape), extra)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(place, parameters)


def axes_of(path: Sequence[Any], leaf: Any) -> tuple[str, ...]:
    """Returns the axes of a leaf. A weight kept as int8 is two: values and scale."""
    axes = parameter(_name(path)).axes
    if getattr(path[-1], "name", None) != "scale":
        return axes
    shape = leaf.shape[leaf.ndim - len(axes) :]
    return tuple("one" if n == 1 else a for a, n in zip(axes, shape, strict=True))


def whole_over_data(path: Sequence[Any], leaf: Any, sizes: Mapping[str, int]):
    """Returns the partition of a parameter where a layer uses it."""
    return _spec(axes_of(path, leaf), leaf, sizes, {})


def _name(path: Sequence[Any]) -> str:
    return next(key.key for key in reversed(path) if hasattr(key, "key"))


def _spec(axes, leaf, sizes: Mapping[str, int], extra) -> PartitionSpec:
    shape = leaf.shape[leaf.ndim - len(axes) :]
    stacked = (None,) * (leaf.ndim - len(axes))
    parts = [
        _part(axis, size, sizes, {**MESH_AXES, **extra})
        for axis, size in zip(axes, shape, strict=True)
    ]
    return PartitionSpec(*stacked, *parts)


def _part(axis: str, size: int, sizes: Mapping[str, int], table):
    """The mesh axes of one array axis, or None for one that stays whole."""
    names = [name for name in table.get(axis, ()) if sizes.get(name, 1) > 1]
    count = math.prod(sizes[name] for name in names)
    if not names or (axis == "vocabulary" and size % count):
        return None  # a table of uneven length is replicated
    if size % count:
        raise ValueError(
            f"an axis of {size} {axis}s does not split evenly over {count} devices; "
            f"choose a mesh whose {_AXIS_OF[names[0]]} axis divides {size}."
        )
    return tuple(names) if len(names) > 1 else names[0]
