"""Stored matrices to int8 while they are read: the full weights never are in memory."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np

from mcq_jax.checkpoints.streaming import Layout, StoredTensor, stream
from mcq_jax.model.int8 import Int8Weight


def stream_int8(
    stored: Sequence[StoredTensor],
    layout: Layout,
    *,
    dtype: np.dtype,
    sharding: jax.sharding.Sharding | None,
) -> Int8Weight:
    """Returns `[layer, *shape]` as int8, one scale per stored row (output channel).

    The layout must be that of a matrix. It is read twice: for scales, and for values.
    """
    leading, behind = layout.shape[: layout.leading], layout.shape[layout.leading :]
    if layout.is_turned:
        per_row = (1,) * len(leading) + behind
    else:
        per_row = leading + (1,) * len(behind)
    prepare = layout.prepare or (lambda rows: rows)

    def into(function: Callable[[np.ndarray], np.ndarray], shape) -> Layout:
        def prepared(rows: np.ndarray) -> np.ndarray:
            return function(prepare(rows).astype(np.float32))

        return dataclasses.replace(layout, shape=shape, prepare=prepared)

    scale = stream(
        stored,
        into(_scales, per_row),
        dtype=np.dtype(np.float32),
        sharding=_without_axes(sharding, (len(stored), *per_row)),
    )
    values = stream(
        stored, into(_values, layout.shape), dtype=np.dtype(np.int8), sharding=sharding
    )
    return Int8Weight(values=values, scale=scale, dtype=dtype.name)


def _scales(rows: np.ndarray) -> np.ndarray:
    """The largest number of a row is 127 of these; an empty row is 0 of anything."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.where(largest == 0, 1, largest / 127).astype(np.float32)


def _values(rows: np.ndarray) -> np.ndarray:
    return np.rint(rows / _scales(rows)).astype(np.int8)


def _without_axes(
    sharding: jax.sharding.Sharding | None, shape: tuple[int, ...]
) -> jax.sharding.Sharding | None:
    """The sharding of a weight for its scale, whose axes of size 1 are not split."""
    if sharding is None or isinstance(sharding, jax.sharding.SingleDeviceSharding):
        return sharding
    if not isinstance(sharding, jax.sharding.NamedSharding):
        raise ValueError(
            f"int8 weights cannot be split by a {type(sharding).__name__}; give a "
            "NamedSharding."
        )
    names = (*sharding.spec, *(None,) * (len(shape) - len(sharding.spec)))
    kept = [None if size == 1 else n for n, size in zip(names, shape, strict=True)]
    spec = jax.sharding.PartitionSpec(*kept)
    return jax.sharding.NamedSharding(sharding.mesh, spec)
