"""Which axis of a parameter lies on which axis of the device mesh: two tables.

Nothing else decides where weights go. Activations follow from them: rows are laid over
"data" where a pass begins, and the compiler carries both through the layers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

# The axes of every parameter, in the words of `mcq_jax.axes`. A segment's layer axis
# comes before them, and is never split. A matrix's last axis is the residual stream's,
# which its rows read or write.
PARAMETER_AXES: dict[str, tuple[str, ...]] = {
    "table": ("vocabulary", "width"),
    "position_table": ("context", "width"),
    "norm_gain": ("width",),
    "norm_bias": ("width",),
    "post_norm_gain": ("width",),
    # Of one head or of all: small, and whole everywhere.
    "query_norm_gain": (),
    "key_norm_gain": (),
    "query": ("kv_head", "group", "head_width", "width"),
    "query_bias": ("kv_head", "group", "head_width"),
    "key": ("kv_head", "head_width", "width"),
    "key_bias": ("kv_head", "head_width"),
    "value": ("kv_head", "head_width", "width"),
    "value_bias": ("kv_head", "head_width"),
    "relative": ("kv_head", "group", "head_width", "width"),
    "content_bias": ("kv_head", "group", "head_width"),
    "position_bias": ("kv_head", "group", "head_width"),
    "output": ("kv_head", "group", "head_width", "width"),
    "output_bias": ("width",),
    "gate": ("neuron", "width"),
    "gate_bias": ("neuron",),
    "up": ("neuron", "width"),
    "up_bias": ("neuron",),
    "down": ("neuron", "width"),
    "down_bias": ("width",),
}

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

    def place(path, parameter):
        axes = axes_of(path, parameter)
        is_matrix = len(axes) > 1 and not {"vocabulary", "context"} & set(axes)
        extra = FULLY_SHARDED if fully_sharded and is_matrix else {}
        spec = _spec(axes, parameter, dict(mesh.shape), extra)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(place, parameters)


def axes_of(path: Sequence[Any], parameter: Any) -> tuple[str, ...]:
    """Returns the axes of a leaf. A weight kept as int8 is two: values and scale."""
    name = next(key.key for key in reversed(path) if hasattr(key, "key"))
    axes = parameter_axes(name)
    if getattr(path[-1], "name", None) != "scale":
        return axes
    shape = parameter.shape[parameter.ndim - len(axes) :]
    return tuple("one" if n == 1 else a for a, n in zip(axes, shape, strict=True))


def parameter_axes(name: str) -> tuple[str, ...]:
    """Returns the axes of a parameter, without a segment's layer axis."""
    if name not in PARAMETER_AXES:
        raise ValueError(
            f"no rule says how parameter {name!r} is split over devices; add its axes "
            "to PARAMETER_AXES in mcq_jax/sharding/rules.py."
        )
    return PARAMETER_AXES[name]


def whole_over_data(path: Sequence[Any], parameter: Any, sizes: Mapping[str, int]):
    """Returns the partition of a parameter where a layer uses it."""
    return _spec(axes_of(path, parameter), parameter, sizes, {})


def _spec(axes, parameter, sizes: Mapping[str, int], extra) -> PartitionSpec:
    shape = parameter.shape[parameter.ndim - len(axes) :]
    stacked = (None,) * (parameter.ndim - len(axes))
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
