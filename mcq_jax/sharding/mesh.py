"""`make_mesh`: the devices as a grid, prompts along one side and the model along the
other.

Users name two axes, "data" and "model". Inside, "model" is "kv" × "group": key/value
heads are split first, and the query heads that share one only when those run out. A
device then has one key/value head, and its own part of the query heads that read it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

AXES = ("data", "kv", "group")

# Of `jax.Device`, which type checkers take for a variable.
Devices = Sequence[Any]

# Weights may take so much of a device before they are split over more devices.
_WEIGHTS_SHARE = 0.6


class Heads(Protocol):
    """What a mesh must know of a model; a `ModelConfig` says it."""

    @property
    def kv_heads(self) -> int: ...

    @property
    def group(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class MeshShape:
    """How many devices lie along each axis that a user names."""

    # Prompts, or rows, are split into so many parts.
    data: int
    # Heads, neurons and vocabulary are split into so many parts.
    model: int

    @classmethod
    def parse(cls, text: str, *, devices: int) -> "MeshShape":
        """Reads "data=4,model=8"; of two axes, one left out is what remains."""
        sizes = {}
        for part in text.split(","):
            name, _, size = part.strip().partition("=")
            if name not in ("data", "model") or not size.isdigit() or int(size) < 1:
                raise ValueError(
                    f"cannot read {part.strip()!r} of mesh {text!r}; write it as "
                    "data=4,model=8."
                )
            sizes[name] = int(size)
        if len(sizes) == 1:
            other = "model" if "data" in sizes else "data"
            sizes[other] = max(1, devices // next(iter(sizes.values())))
        shape = cls(**sizes)
        if shape.data * shape.model != devices:
            raise ValueError(
                f"mesh {text!r} is {shape} of {shape.data * shape.model} devices, and "
                f"there are {devices}; let the product be {devices}."
            )
        return shape

    def __str__(self) -> str:
        return f"data={self.data},model={self.model}"


def make_mesh(
    heads: Heads,
    shape: MeshShape | str | None = None,
    *,
    devices: Devices | None = None,
    parameter_bytes: int = 0,
    layer_bytes: int | None = None,
    device_bytes: int | None = None,
) -> Mesh:
    """Returns the mesh `("data", "kv", "group")`, neighbours in it being neighbours.

    Args:
        heads: the model's `ModelConfig`.
        shape: as `MeshShape`, or as text; None: the fewest model parts with which the
            weights leave room on a device.
        devices: all there are, if left out; those of every process, if several run.
        parameter_bytes: of all weights, for the choice of a shape.
        layer_bytes: of one layer's, if weights are to be fully sharded.
        device_bytes: a device's memory; asked of it, if left out.
    """
    devices = jax.devices() if devices is None else devices
    if shape is None:
        shape = choose_shape(
            heads,
            len(devices),
            parameter_bytes=parameter_bytes,
            layer_bytes=layer_bytes,
            device_bytes=device_bytes or memory_of(devices[0]),
        )
    elif isinstance(shape, str):
        shape = MeshShape.parse(shape, devices=len(devices))
    sizes = (shape.data, *split_model(heads, shape.model))
    return Mesh(_in_order(sizes, devices), AXES, axis_types=(AxisType.Auto,) * 3)


def split_model(heads: Heads, model: int) -> tuple[int, int]:
    """Returns (kv, group), the parts of a model axis of size `model`.

    Query heads are split below key/value heads only where every device has one of
    those: otherwise its query heads would not lie together in the weights.
    """
    kv = math.gcd(model, heads.kv_heads)
    group = model // kv
    if group > 1 and (kv < heads.kv_heads or heads.group % group):
        raise ValueError(
            f"{heads.kv_heads} key/value heads with {heads.group} query heads each do "
            f"not split over model={model} devices; they do over "
            f"{', '.join(map(str, model_sizes(heads)))}."
        )
    return kv, group


def model_sizes(heads: Heads) -> list[int]:
    """Returns the sizes of the model axis over which the heads split evenly."""
    below = [n for n in range(1, heads.kv_heads) if heads.kv_heads % n == 0]
    groups = [n for n in range(1, heads.group + 1) if heads.group % n == 0]
    return [*below, *(heads.kv_heads * n for n in groups)]


def choose_shape(
    heads: Heads,
    devices: int,
    *,
    parameter_bytes: int,
    layer_bytes: int | None = None,
    device_bytes: int | None,
) -> MeshShape:
    """Returns the fewest model parts whose weights leave room on a device.

    Splitting prompts costs no communication, so it comes first. Fully sharded, a device
    holds its share of all weights, and of two layers: one in use, one arriving. Where
    no split leaves room, the finest one is returned.
    """

    def held(model: int) -> float:
        if layer_bytes is None:
            return parameter_bytes / model
        return parameter_bytes / devices + 2 * layer_bytes / model

    fitting = [size for size in model_sizes(heads) if devices % size == 0]
    room = math.inf if device_bytes is None else _WEIGHTS_SHARE * device_bytes
    model = next((m for m in fitting if held(m) <= room), fitting[-1])
    return MeshShape(devices // model, model)


def shape_of(mesh: Mesh) -> MeshShape:
    """Returns a mesh's shape as users name it."""
    return MeshShape(mesh.shape["data"], mesh.shape["kv"] * mesh.shape["group"])


def memory_of(device: Any) -> int | None:
    """Returns a device's memory in bytes, or None where it does not say."""
    stats = device.memory_stats()
    return stats.get("bytes_limit") if stats else None


def _in_order(sizes: tuple[int, int, int], devices: Devices) -> np.ndarray:
    """Devices on a grid in the order of their links; slices of a pod lie along data."""
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(
            sizes, devices, allow_split_physical_axes=True
        )
    data, kv, group = sizes
    if data % slices:
        raise ValueError(
            f"data={data} does not split over {slices} slices, between which links are "
            f"slow; let {slices} divide data."
        )
    return mesh_utils.create_hybrid_device_mesh(
        (data // slices, kv, group),
        (slices, 1, 1),
        devices,
        allow_split_physical_axes=True,
    )
