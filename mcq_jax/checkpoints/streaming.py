"""Stored tensors into device arrays, without a second copy in between.

A buffer is made for every shard that this process holds, each piece of the files is
read once and written where it belongs, and the full buffers are handed to jax, which
on CPU takes them over as they are. What is where in a file is left to `conversion`.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import ml_dtypes
import numpy as np

from mcq_jax.checkpoints.errors import TensorError


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor in a file: a matrix is `[output, input]`, as PyTorch has it."""

    shape: tuple[int, ...]
    # read(start, stop) gives that stretch of the first axis, as float numbers: a view
    # of the mapped file where it can be one.
    read: Callable[[int, int], np.ndarray]
    # What the file calls it, for errors.
    name: str = "of the checkpoint"
    # On disk, per number; of quantised tensors with their share of the scales.
    bits: float = 32.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How an array of ours lies in a stored tensor."""

    # Of the array, for one layer.
    shape: tuple[int, ...]
    # So many of our first axes together are one axis of the stored tensor, and those
    # behind them its other one.
    leading: int = 1
    # The stored tensor has the other one first (a transposed matrix).
    is_turned: bool = False
    # Stretches of rows have to be multiples of this.
    multiple: int = 1
    # What is done to a stretch of rows before it is stored.
    prepare: Callable[[np.ndarray], np.ndarray] | None = None


def stream(
    stored: StoredTensor | Sequence[StoredTensor],
    layout: Layout,
    *,
    dtype: np.dtype,
    sharding: jax.sharding.Sharding | None = None,
) -> jax.Array:
    """Returns `shape` on its devices, or `[layer, *shape]` of one tensor per layer.

    Without a sharding it lies on jax's default device.
    """
    is_stack = not isinstance(stored, StoredTensor)
    layers = stored if is_stack else [stored]
    shape = (len(layers), *layout.shape) if is_stack else layout.shape
    devices_of = _devices_by_index(shape, sharding)
    shards = {index: _Shard(index, layout, dtype) for index in devices_of}
    _fill(list(shards.values()), layers, layout)
    if sharding is None:
        (shard,) = shards.values()
        return jax.device_put(shard.array)
    parts = [
        jax.device_put(shards[index].array, device)
        for index, devices in devices_of.items()
        for device in devices
    ]
    array = jax.make_array_from_single_device_arrays(shape, sharding, parts)
    # Else buffers would pile up on the host behind a slow device.
    return array.block_until_ready()


def _fill(
    shards: Sequence["_Shard"], layers: Sequence[StoredTensor], layout: Layout
) -> None:
    """Reads every piece that a shard here needs once, by several threads."""

    def copy(piece: tuple[int, int, int]) -> None:
        layer, start, stop = piece
        wanted = [shard for shard in shards if shard.holds(layer, start, stop)]
        if not wanted:
            return
        stored = layers[layer]
        rows = stored.read(start, stop)
        rows = rows if layout.prepare is None else layout.prepare(rows)
        for shard in wanted:
            shard.write(layer, start, rows.reshape(stop - start, -1), stored.name)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(copy, _pieces(layers, layout.multiple)))


# A shard's stretch of every axis, as (start, stop).
_Index = tuple[tuple[int, int], ...]


def _devices_by_index(
    shape: tuple[int, ...], sharding: jax.sharding.Sharding | None
) -> dict[_Index, list]:
    """The devices of this process by the shard that they hold; copies share one."""
    if sharding is None:
        return {tuple((0, size) for size in shape): []}
    found: dict[_Index, list] = {}
    for device, slices in sharding.addressable_devices_indices_map(shape).items():
        pairs = zip(slices or (slice(None),) * len(shape), shape, strict=True)
        index = tuple(part.indices(size)[:2] for part, size in pairs)
        found.setdefault(index, []).append(device)
    return found


class _Shard:
    """A part of the final array, to be filled by stretches of stored rows."""

    def __init__(self, index: _Index, layout: Layout, dtype: np.dtype):
        self.array = _aligned(tuple(stop - start for start, stop in index), dtype)
        if len(index) == len(layout.shape):
            index = ((0, 1), *index)
        self._first_layer, self._last_layer = index[0]
        split = layout.leading
        first = _flat_places(index[1:][:split], layout.shape[:split])
        second = _flat_places(index[1:][split:], layout.shape[split:])
        # [layer, row, column] as the tensor is stored; which of its rows, its columns.
        self._stored = self.array.reshape(-1, len(first), len(second))
        if layout.is_turned:
            self._stored = self._stored.swapaxes(1, 2)
            first, second = second, first
        self._rows, self._columns = first, _span(second)

    def holds(self, layer: int, start: int, stop: int) -> bool:
        """Says whether anything of these rows belongs here."""
        first, last = np.searchsorted(self._rows, (start, stop))
        return self._first_layer <= layer < self._last_layer and first < last

    def write(self, layer: int, start: int, rows: np.ndarray, name: str) -> None:
        """Stores those of the rows `[row, column]` that belong here."""
        target = self._stored[layer - self._first_layer]
        first, last = np.searchsorted(self._rows, (start, start + len(rows)))
        for at in range(first, last, _BLOCK):
            places = self._rows[at : min(at + _BLOCK, last)] - start
            block = rows[_span(places)][:, self._columns]
            with np.errstate(over="ignore"):
                converted = block.astype(target.dtype, copy=False)
            if not _is_finite(converted):
                raise _not_finite(name, block, target.dtype)
            target[at : at + len(places)] = converted


def _is_finite(array: np.ndarray) -> bool:
    """Says whether no number is NaN or infinite: then some exponent is all ones.

    By the bits, as in 16 of them that is ten times as fast as `isfinite`.
    """
    exponent = _exponent(array.dtype)
    if exponent is None or not array.size:
        return True
    return (array.view(exponent.dtype) & exponent).max() < exponent


@functools.cache
def _exponent(dtype: np.dtype) -> np.unsignedinteger | None:
    """The bits of a float type's exponent; None for integers."""
    if dtype.kind in "iu":
        return None
    info = ml_dtypes.finfo(dtype)
    bits = np.dtype(f"u{dtype.itemsize}").type
    return bits((1 << info.nexp) - 1 << info.nmant)


def _not_finite(name: str, numbers: np.ndarray, dtype: np.dtype) -> TensorError:
    if not _is_finite(numbers):
        return TensorError(
            f"Tensor {name} holds NaN or infinities, so that nothing computed with it "
            "would be a number; fetch the checkpoint again, or do not trust it."
        )
    return TensorError(
        f"Tensor {name} holds numbers up to {np.abs(numbers).max():.3g}, and {dtype} "
        f"ends at {float(ml_dtypes.finfo(dtype).max):.3g}; load it with "
        "dtype='bfloat16' or 'float32'."
    )


# Rows turned and converted at once, while they lie in the processor's cache: thirty
# times as fast as a whole matrix.
_BLOCK = 32


def _flat_places(index: _Index, shape: tuple[int, ...]) -> np.ndarray:
    """Where a part of some axes lies among all their places, flattened; ascending."""
    places = np.arange(math.prod(shape)).reshape(shape)
    return places[tuple(slice(*part) for part in index)].ravel()


def _span(places: np.ndarray) -> slice | np.ndarray:
    """Neighbours as a slice, which numpy need not copy."""
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def _pieces(
    stored: Sequence[StoredTensor], multiple: int
) -> Iterator[tuple[int, int, int]]:
    """Stretches (layer, start, stop) of some megabytes, in multiples of rows."""
    for layer, tensor in enumerate(stored):
        rows = tensor.shape[0]
        row_size = max(1, math.prod(tensor.shape[1:]))
        step = max(1, _PIECE // row_size // multiple) * multiple
        for start in range(0, rows, step):
            yield layer, start, min(start + step, rows)


# Numbers per piece: large enough to amortise the calls, small beside a tensor.
_PIECE = 1 << 20


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that jax can take over on CPU: it asks for 64-byte alignment."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)
