"""The GGUF container: metadata and where each tensor lies, checked against the file.

Own reading, because the `gguf` package's reader takes some ten seconds on a vocabulary
of 150,000 tokens and trusts every length in the header; that package dequantises.
"""

import dataclasses
import itertools
import math
import mmap
import pathlib
import struct
from typing import Any

import numpy as np

from mcq_jax.checkpoints.streaming import StoredTensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class GgufFile:
    """What a GGUF file holds."""

    path: pathlib.Path
    # Keys such as "llama.block_count" to numbers, strings, booleans or lists of them.
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]


def read_gguf(path: pathlib.Path) -> GgufFile:
    """Reads the header; tensors are dequantised when they are read."""
    gguf = _import_gguf()
    with path.open("rb") as file:
        size = path.stat().st_size
        if size < 24:
            raise ValueError(
                f"{path} has {size} bytes, too few for a GGUF header; fetch it again."
            )
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    cursor = _Cursor(data, path)
    tensor_count, key_count = _read_preamble(cursor)
    metadata = _read_metadata(cursor, key_count)
    infos = [_read_tensor_info(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"{path}: alignment {alignment!r}; the header is corrupt.")
    base = -(-cursor.position // alignment) * alignment
    tensors, stretches = {}, []
    for name, shape, kind, offset in infos:
        if name in tensors:
            raise ValueError(f"{path}: tensor {name} is listed twice; fetch it again.")
        start = base + offset
        tensors[name], size = _locate(gguf, cursor, name, shape, kind, start)
        stretches.append((start, start + size, name))
    _check_overlap(path, stretches)
    return GgufFile(path=path, metadata=metadata, tensors=tensors)


def _check_overlap(path: pathlib.Path, stretches: list[tuple[int, int, str]]) -> None:
    for (_, stop, name), (start, _, other) in itertools.pairwise(sorted(stretches)):
        if start < stop:
            raise ValueError(
                f"{path}: tensors {name} and {other} overlap; the header is corrupt, "
                "fetch the file again."
            )


def _import_gguf():
    try:
        import gguf
    except ImportError as error:
        raise ImportError(
            "GGUF files are dequantised by the gguf package, which is not installed; "
            'run `pip install "mcq-jax[gguf]"`.'
        ) from error
    return gguf


class _Cursor:
    """Reads forward through the header, never past the end of the file."""

    def __init__(self, data: mmap.mmap, path: pathlib.Path):
        self.data, self.path, self.position = data, path, 0

    def skip(self, count: int) -> int:
        """Returns the position before skipping."""
        start = self.position
        if count > len(self.data) - start:
            raise ValueError(
                f"{self.path}: the header asks for {count} bytes at {start}, but the "
                f"file ends at {len(self.data)}; it is truncated or corrupt, fetch it "
                "again."
            )
        self.position = start + count
        return start

    def number(self, layout: str):
        start = self.skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, start)[0]

    def string(self) -> str:
        length = self.number("<Q")
        start = self.skip(length)
        try:
            return self.data[start : start + length].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path}: text at byte {start} is no UTF-8; the file is corrupt, "
                "fetch it again."
            ) from error


def _read_preamble(cursor: _Cursor) -> tuple[int, int]:
    magic = cursor.data[cursor.skip(4) : 4]
    if magic != b"GGUF":
        raise ValueError(
            f"{cursor.path} starts with {magic!r}, not with b'GGUF'; give a GGUF file "
            "or a Hugging Face folder."
        )
    version = cursor.number("<I")
    if version not in (2, 3):
        raise ValueError(
            f"{cursor.path} is GGUF version {version}; versions 2 and 3 "
            "(little-endian) are supported, convert it again."
        )
    return cursor.number("<Q"), cursor.number("<Q")


def _read_metadata(cursor: _Cursor, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = cursor.string()
        if key in metadata:
            raise ValueError(
                f"{cursor.path}: key {key} is given twice; fetch it again."
            )
        metadata[key] = _read_value(cursor, cursor.number("<I"), key)
    return metadata


# By GGUF's numbers for them.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"} | {
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9


def _read_value(cursor: _Cursor, kind: int, key: str) -> Any:
    if kind in _NUMBERS:
        return cursor.number("<" + _NUMBERS[kind])
    if kind == _STRING:
        return cursor.string()
    if kind == _ARRAY:
        return _read_array(cursor, key)
    raise ValueError(
        f"{cursor.path}: {key} has the unknown value type {kind}; the file is corrupt "
        "or newer than this reader."
    )


def _read_array(cursor: _Cursor, key: str) -> list:
    kind, length = cursor.number("<I"), cursor.number("<Q")
    if kind in _NUMBERS:
        layout = np.dtype(_NUMBERS[kind]).newbyteorder("<")
        start = cursor.skip(length * layout.itemsize)
        return np.frombuffer(cursor.data, layout, length, start).tolist()
    if kind == _STRING:
        return [cursor.string() for _ in range(length)]
    raise ValueError(
        f"{cursor.path}: {key} is a list of the unsupported value type {kind}; the "
        "file is corrupt or newer than this reader."
    )


def _read_tensor_info(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.string()
    dimensions = cursor.number("<I")
    if not 1 <= dimensions <= 4:
        raise ValueError(
            f"{cursor.path}: tensor {name} has {dimensions} dimensions; GGUF allows 1 "
            "to 4, the file is corrupt."
        )
    # Innermost first, the reverse of numpy's order.
    shape = tuple(cursor.number("<Q") for _ in range(dimensions))[::-1]
    return name, shape, cursor.number("<I"), cursor.number("<Q")


def _locate(
    gguf, cursor: _Cursor, name: str, shape: tuple[int, ...], kind: int, start: int
) -> tuple[StoredTensor, int]:
    """Returns the tensor and its size in bytes."""
    path = cursor.path
    try:
        quantisation = gguf.GGMLQuantizationType(kind)
        block, block_bytes = gguf.GGML_QUANT_SIZES[quantisation]
        gguf.quants.dequantize(np.zeros((1, block_bytes), np.uint8), quantisation)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ValueError(
            f"{path}: tensor {name} is stored as {kind} ({error}), which the gguf "
            "package cannot dequantise; convert the model to another quantisation."
        ) from error
    if math.prod(shape) == 0 or shape[-1] % block:
        raise ValueError(
            f"{path}: tensor {name} of shape {shape} is stored in blocks of {block} "
            f"numbers ({quantisation.name}); the header is corrupt."
        )
    row_bytes = shape[-1] // block * block_bytes
    rows = math.prod(shape[:-1])
    if start + rows * row_bytes > len(cursor.data):
        raise ValueError(
            f"{path}: tensor {name} needs bytes {start} to {start + rows * row_bytes}, "
            f"but the file ends at {len(cursor.data)}; it is truncated, fetch it again."
        )
    data = np.frombuffer(cursor.data, np.uint8, rows * row_bytes, start)
    data = data.reshape(rows, row_bytes)

    def read(first: int, last: int) -> np.ndarray:
        if len(shape) == 1:
            return gguf.quants.dequantize(data, quantisation)[0, first:last]
        inner = math.prod(shape[1:-1])
        values = gguf.quants.dequantize(
            data[first * inner : last * inner], quantisation
        )
        return values.reshape(last - first, *shape[1:])

    tensor = StoredTensor(shape=shape, read=read, bits=8 * block_bytes / block)
    return tensor, rows * row_bytes
