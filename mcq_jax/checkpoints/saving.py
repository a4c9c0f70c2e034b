"""Converted checkpoints on disk in our own layout, so that loading them is a copy.

A folder of `mcq_jax.json` (the config), `model.safetensors` (layer by layer, named by
their places in `Parameters`: "layers/3/attention/query") and the tokenizer's files.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mcq_jax.checkpoints.conversion import check_sizes
from mcq_jax.checkpoints.safetensors_file import TYPES
from mcq_jax.checkpoints.shardings import Shardings, sharding_of_each, stacked_shapes
from mcq_jax.checkpoints.streaming import Layout, StoredTensor, stream
from mcq_jax.json_values import from_json, to_json
from mcq_jax.model import Int8Weight, ModelConfig, Parameters
from mcq_jax.prompts import TokenizerFile

DESCRIPTION = "mcq_jax.json"
# How matrices lie: 2 is [..., width].
LAYOUT = 2


def write_folder(
    folder: pathlib.Path,
    parameters: Parameters,
    config: ModelConfig,
    tokenizer: TokenizerFile,
    name: str,
    stored_bits: float | None = None,
) -> None:
    """Writes all files beside the folder's place, then moves them there as one."""
    if folder.exists():
        raise FileExistsError(f"{folder} is already there; give a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        arrays = _named_arrays(parameters, config)
        _write_tensors(beside / "model.safetensors", arrays)
        tokenizer.save(beside)
        description = {
            "layout": LAYOUT,
            "name": name,
            "stored_bits": stored_bits,
            "config": to_json(config),
        }
        text = json.dumps(description, indent=1)
        (beside / DESCRIPTION).write_text(text, encoding="utf-8")
        beside.chmod(0o755)
        os.rename(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavedDescription:
    """What `mcq_jax.json` says."""

    name: str
    config: ModelConfig
    # Of the checkpoint that was saved; None in older folders.
    stored_bits: float | None = None


def read_description(content: Mapping[str, Any]) -> SavedDescription:
    """Checks the content of `mcq_jax.json`."""
    if content.get("layout") != LAYOUT:
        raise ValueError(
            f"its layout is {content.get('layout')!r}, this mcq_jax reads {LAYOUT}; "
            "save the model again."
        )
    name, config = content.get("name"), content.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        raise ValueError("name or config is missing; save the checkpoint again.")
    # Older folders say of a tied table that it is the same, and not in their config.
    same = content.get("same", {})
    if same not in ({}, _TIED):
        raise ValueError(
            f"it says that {same} are the same arrays, where only the unembedding may "
            "be the embedding's; save the checkpoint again."
        )
    made = from_json(ModelConfig, config)
    made = dataclasses.replace(made, tied=made.tied or same == _TIED)
    bits = content.get("stored_bits")
    if not isinstance(bits, int | float | None) or isinstance(bits, bool):
        raise ValueError(f"stored_bits is {bits!r}, no number; save the model again.")
    return SavedDescription(name=name, config=made, stored_bits=bits)


_TIED = {"unembed/~/table": "embed/~/table"}


def check_tensors(
    tensors: Mapping[str, StoredTensor], description: SavedDescription
) -> None:
    """Raises ValueError for tensors that are missing, unknown or misshapen."""
    config = description.config
    sizes = (1,) * config.layers
    shapes = stacked_shapes(config, sizes=sizes, dtype=np.dtype(np.float32))
    expected = {}
    for path, leaf in jax.tree.leaves_with_path(shapes):
        (name,) = _names(path, sizes)
        expected[name] = leaf.shape[1:] if _is_stack(path) else leaf.shape
    found = {name: tensor.shape for name, tensor in tensors.items()}
    names = expected.keys() | found.keys()
    differing = sorted(n for n in names if expected.get(n) != found.get(n))
    if differing:
        name = differing[0]
        raise ValueError(
            f"{len(differing)} tensors do not fit the config, such as {name}: the "
            f"config asks for shape {expected.get(name)}, found is {found.get(name)}; "
            "save the model again."
        )


def restore(
    tensors: Mapping[str, StoredTensor],
    description: SavedDescription,
    *,
    dtype: np.dtype,
    sizes: Sequence[int],
    shardings: Shardings = None,
    is_int8: bool = False,
) -> Parameters:
    """Returns the parameters as device arrays, in segments of the given sizes."""
    if is_int8:
        raise ValueError(
            "A saved checkpoint is read as it is; for int8 weights give the one that "
            "it was converted from."
        )
    config = description.config
    check_sizes(sizes, config)

    def one(path: tuple, leaf: jax.ShapeDtypeStruct, sharding: Any) -> jax.Array:
        is_stack = _is_stack(path)
        names = _names(path, sizes)
        stored = [dataclasses.replace(tensors[name], name=name) for name in names]
        return stream(
            stored if is_stack else stored[0],
            Layout(shape=leaf.shape[1:] if is_stack else leaf.shape),
            dtype=np.dtype(leaf.dtype),
            sharding=sharding,
        )

    shapes = stacked_shapes(config, sizes=sizes, dtype=dtype)
    targets = sharding_of_each(shardings, config, sizes=sizes, dtype=dtype)
    return jax.tree.map_with_path(one, shapes, targets)


def _is_stack(path: tuple) -> bool:
    return path[0].name == "layers"


def _names(path: tuple, sizes: Sequence[int]) -> list[str]:
    """The tensors of a leaf of `Parameters`: one, or one per layer of its segment."""
    part, *rest = path
    if not _is_stack(path):
        return ["/".join([part.name, *(key.key for key in rest)])]
    segment, *rest = rest
    start = sum(sizes[: segment.idx])
    places = "/".join(key.key for key in rest)
    return [f"layers/{start + i}/{places}" for i in range(sizes[segment.idx])]


def _is_int8(leaf: Any) -> bool:
    return isinstance(leaf, Int8Weight)


def _named_arrays(
    parameters: Parameters, config: ModelConfig
) -> dict[str, tuple[jax.Array, int | None]]:
    """Returns arrays and, for stacks, indices by name."""
    if config.tied == ("table" in parameters.unembed.get("~", {})):
        raise ValueError(
            f"The config says tied={config.tied}, which these parameters are not; give "
            "the config that they were made for."
        )
    sizes = [jax.tree.leaves(group)[0].shape[0] for group in parameters.layers]
    arrays = {}
    for path, array in jax.tree.leaves_with_path(parameters, is_leaf=_is_int8):
        if _is_int8(array):
            raise ValueError(
                "int8 weights are not saved; save the model that they come from."
            )
        if not array.is_fully_addressable:
            raise ValueError(
                "The parameters are spread over several processes; save them from a "
                "process that holds all of them."
            )
        is_stack = _is_stack(path)
        for index, name in enumerate(_names(path, sizes)):
            arrays[name] = (array, index if is_stack else None)
    return arrays


def _write_tensors(
    path: pathlib.Path, arrays: Mapping[str, tuple[jax.Array, int | None]]
) -> None:
    """Writes one array (of one layer) after the other: no second copy of the model."""
    kinds = {dtype: kind for kind, dtype in TYPES.items()}
    header, end = {}, 0
    for name, (array, index) in arrays.items():
        shape = array.shape if index is None else array.shape[1:]
        dtype = np.dtype(array.dtype)
        stop = end + int(np.prod(shape)) * dtype.itemsize
        place = {"shape": shape, "data_offsets": [end, stop]}
        header[name] = {"dtype": kinds[dtype], **place}
        end = stop
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of their size
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array, index in arrays.values():
            values = np.asarray(array if index is None else array[index])
            file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
