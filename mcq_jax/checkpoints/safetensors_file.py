"""The safetensors container: names and places of tensors, checked against the file.

Own reading: tensors come as views of the mapped file, which the `safetensors` package
copies, and every refusal names the file and what is wrong with it.
"""

import dataclasses
import json
import math
import mmap
import pathlib
from typing import Any

import ml_dtypes
import numpy as np

from mcq_jax.checkpoints.errors import CheckpointError
from mcq_jax.checkpoints.streaming import StoredTensor

# By safetensors' names for them: the types whose numbers become ours.
TYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_LONGEST_HEADER = 100_000_000


def read_safetensors_file(path: pathlib.Path) -> dict[str, StoredTensor]:
    """Reads the header; numbers come from the mapped file when asked for."""
    data = _mapped(path)
    length = int.from_bytes(data[:8], "little")
    if length > min(len(data) - 8, _LONGEST_HEADER):
        raise _broken(path, f"its header claims {length} bytes of {len(data)}")
    header = _parse(path, data[8 : 8 + length])
    if not isinstance(header.pop("__metadata__", {}), dict):
        raise _broken(path, "the header's __metadata__ is no JSON object")
    start = 8 + length
    places = [_place(path, name, entry) for name, entry in header.items()]
    _check_places(path, places, len(data) - start)
    return {place.name: _tensor(path, data, start, place) for place in places}


def _mapped(path: pathlib.Path) -> mmap.mmap:
    with path.open("rb") as file:
        size = path.stat().st_size
        if size < 8:
            raise _broken(path, f"it has {size} bytes")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _broken(path: pathlib.Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is no complete safetensors file: {what}; fetch it again."
    )


def _parse(path: pathlib.Path, header: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(n for i, n in enumerate(names) if n in names[:i])
            raise ValueError(f"{twice!r} stands in it twice")
        return dict(pairs)

    try:
        content = json.loads(header.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"its header is not valid ({error})") from error
    if not isinstance(content, dict):
        raise _broken(path, "its header is no JSON object")
    return content


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
    """One entry of the header."""

    name: str
    kind: str
    shape: tuple[int, ...]
    # Bytes behind the header.
    start: int
    stop: int


def _place(path: pathlib.Path, name: str, entry: Any) -> _Place:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _broken(path, f"the header's entry for tensor {name} is malformed")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    is_sound = isinstance(kind, str) and _are_sizes(shape) and _are_sizes(offsets)
    if not is_sound or len(offsets) != 2 or len(shape) > _MOST_AXES:
        raise _broken(path, f"the header's entry for tensor {name} is malformed")
    start, stop = offsets
    size = math.prod(shape) * TYPES[kind].itemsize if kind in TYPES else stop - start
    if stop - start != size:
        raise _broken(
            path, f"tensor {name} needs {size} bytes and is given {stop - start}"
        )
    return _Place(name=name, kind=kind, shape=tuple(shape), start=start, stop=stop)


# What numpy can hold.
_MOST_AXES = 64


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _check_places(path: pathlib.Path, places: list[_Place], size: int) -> None:
    """Tensors lie one behind the other up to the end of the file."""
    end = 0
    for place in sorted(places, key=lambda place: (place.start, place.stop)):
        if place.start != end or place.stop < place.start:
            raise _broken(
                path,
                f"tensor {place.name} lies at bytes {place.start} to {place.stop}, "
                f"but the one before it ends at {end}",
            )
        end = place.stop
    if end != size:
        raise _broken(path, f"its tensors fill {end} bytes, there are {size}")


def _tensor(
    path: pathlib.Path, data: mmap.mmap, start: int, place: _Place
) -> StoredTensor:
    def read(first: int, last: int) -> np.ndarray:
        if place.kind not in TYPES:
            raise CheckpointError(
                f"Tensor {place.name} of {path} holds {place.kind}; supported are "
                f"{', '.join(TYPES)}. Use the checkpoint's unquantised weights."
            )
        dtype, inner = TYPES[place.kind], place.shape[1:]
        row = math.prod(inner)
        offset = start + place.start + first * row * dtype.itemsize
        values = np.frombuffer(data, dtype, (last - first) * row, offset)
        return values.reshape(last - first, *inner)

    bits = 8 * (place.stop - place.start) / max(math.prod(place.shape), 1)
    return StoredTensor(shape=place.shape, read=read, bits=bits)
