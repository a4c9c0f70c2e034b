"""The safetensors files of a Hugging Face folder as one set of named tensors."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcq_jax.checkpoints.safetensors_file import read_safetensors_file
from mcq_jax.checkpoints.streaming import StoredTensor

INDEX = "model.safetensors.index.json"


def weight_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the safetensors files that hold the model."""
    if (folder / INDEX).is_file():
        return [folder / name for name in sorted(set(_weight_map(folder).values()))]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    files = sorted(f for f in folder.glob("*.safetensors") if f.is_file())
    if not files:
        raise FileNotFoundError(
            f"{folder} has a config.json but no *.safetensors; other formats (*.bin, "
            "*.pth) are not read, save the model with safetensors."
        )
    return files


def read_safetensors(folder: pathlib.Path) -> dict[str, StoredTensor]:
    """Reads the headers; numbers come from the memory-mapped files when asked for."""
    expected = _weight_map(folder) if (folder / INDEX).is_file() else None
    tensors: dict[str, StoredTensor] = {}
    for path in weight_files(folder):
        found = read_safetensors_file(path)
        if expected is not None:
            _check_against_index(path, found, expected)
        twice = sorted(found.keys() & tensors.keys())
        if twice:
            raise ValueError(
                f"Tensor {twice[0]} is in {path} and in another file of the folder; "
                "keep one of them."
            )
        tensors |= found
    return tensors


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Returns the JSON object in a file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is no readable JSON ({error}); fetch it again."
        ) from (error)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object; fetch it again.")
    return content


def _weight_map(folder: pathlib.Path) -> dict[str, str]:
    path = folder / INDEX
    files = read_json(path).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise ValueError(f"{path} has no weight_map; fetch it again.")
    for name, file in files.items():
        # A separator of either system would lead out of the folder.
        is_plain = isinstance(file, str) and not {"/", "\\", "\0"} & set(file)
        if not is_plain or not file.endswith(".safetensors"):
            raise ValueError(
                f"{path} sends tensor {name} to {file!r}, which is not a *.safetensors "
                "file of the same folder; do not trust this checkpoint."
            )
    missing = sorted({f for f in files.values() if not (folder / f).is_file()})
    if missing:
        raise FileNotFoundError(
            f"{path} names {', '.join(missing[:8])}, not in the folder; the download "
            "is incomplete, fetch them too."
        )
    return files


def _check_against_index(
    path: pathlib.Path, found: Mapping[str, StoredTensor], expected: Mapping[str, str]
) -> None:
    listed = {name for name, file in expected.items() if file == path.name}
    differing = sorted(listed ^ found.keys())
    if differing:
        raise ValueError(
            f"{path} and {INDEX} disagree about {', '.join(differing[:8])}; they do "
            "not belong together, fetch both again."
        )


def same_numbers(one: StoredTensor, other: StoredTensor) -> bool:
    """Says whether two matrices are equal, in pieces."""
    if one.shape != other.shape:
        return False
    rows = one.shape[0]
    pieces = ((start, min(start + _ROWS, rows)) for start in range(0, rows, _ROWS))
    return all(np.array_equal(one.read(*p), other.read(*p)) for p in pieces)


_ROWS = 4096
