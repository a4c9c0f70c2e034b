"""`load`: a published checkpoint as parameters, config and tokenizer.

This file knows where things lie on disk; what is in them is the business of
`huggingface` and `gguf`, how they become arrays that of `conversion`.
"""

import dataclasses
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np

from mcq_jax import sharding
from mcq_jax.arguments import as_path
from mcq_jax.checkpoints import (
    conversion,
    gguf,
    gguf_file,
    gguf_tokenizer,
    hub,
    huggingface,
    safetensors,
    saving,
)
from mcq_jax.checkpoints.errors import CheckpointError, TensorError, naming
from mcq_jax.checkpoints.links import check_links
from mcq_jax.checkpoints.shardings import Shardings
from mcq_jax.checkpoints.streaming import StoredTensor
from mcq_jax.model import ModelConfig, Parameters, segment_sizes
from mcq_jax.prompts import Tokenizer, TokenizerFile, tokenizer_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that is ready to run."""

    parameters: Parameters
    config: ModelConfig
    tokenizer: Tokenizer
    # The folder's name, the file's without ".gguf", or the hub's without the publisher.
    name: str
    # SHA-256 in hexadecimal digits: of a GGUF file, what `sha256sum` gives; of a
    # folder, over the names and contents of the files that were read.
    content_hash: str
    # Per number of its matrices as the files have them, on average: some 5 of a Q4_K_M
    # GGUF file. None: made here.
    stored_bits: float | None = None


def load(
    path: str | os.PathLike,
    *,
    dtype: str = "float32",
    sizes: Sequence[int] | None = None,
    shardings: Shardings = None,
    weights: str = "full",
) -> Checkpoint:
    """Loads a Hugging Face folder, a GGUF file, or a model by its name `org/name`.

    What is wrong with its config, its tokenizer or its list of tensors is said before
    any weights are read.

    Args:
      path: a local path; else a name on the Hugging Face hub, with "@revision" or
        without, which is taken from the local cache or downloaded.
      dtype: what the weights become: float32, bfloat16 or float16.
      sizes: layers per segment; by default what suits the platform.
      shardings: where the parameters go: a `Parameters` of jax shardings, one for
        whole branches of it, or a function from their shapes to either. Each process
        reads what its own devices hold; by default all is on jax's default device.
      weights: "full", or "int8" to keep the matrices of the layers as int8 with a
        scale per output channel; each is turned into the dtype when its layer runs.
    """
    if weights not in ("full", "int8"):
        raise ValueError(f"weights is {weights!r}; give 'full' or 'int8'.")
    target = _dtype(dtype)
    path, name = _locate(path)
    contents = _open(path)
    with naming(path):
        _check_sizes(contents)
        contents.check()
    config = contents.config
    # Of several hosts, one alone reads the whole of the files.
    to_hash = contents.files if sharding.is_first_host() else ()
    with ThreadPoolExecutor(1) as pool:
        content_hash = pool.submit(_hash, to_hash)
        with naming(path, only=TensorError):
            parameters = contents.build(
                dtype=target,
                sizes=segment_sizes(config) if sizes is None else sizes,
                shardings=shardings,
                is_int8=weights == "int8",
            )
        return Checkpoint(
            parameters=parameters,
            config=config,
            tokenizer=contents.tokenizer,
            name=contents.name or name,
            content_hash=sharding.on_first_host(
                lambda: content_hash.result().encode()
            ).decode(),
            stored_bits=contents.stored_bits,
        )


def read_shape(path: str | os.PathLike) -> ModelConfig:
    """Returns a model's config, of a folder with at least config.json, or a GGUF file.

    No weights are read; without them a folder is taken at its config's word.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_file():
        with naming(path):
            return gguf.describe(gguf_file.read_gguf(path)).config
    if (path / saving.DESCRIPTION).is_file():
        with naming(path / saving.DESCRIPTION):
            stored = safetensors.read_json(path / saving.DESCRIPTION)
            return saving.read_description(stored).config
    with naming(path / "config.json"):
        return huggingface.read_config(path / "config.json")[1]


def save_checkpoint(folder: str | os.PathLike, checkpoint: Checkpoint) -> None:
    """Saves a model so that `load(folder)` copies it without converting, bit by bit.

    It keeps its dtype on disk; give `load` the same one to have the same numbers. The
    content hash is that of the new files.
    """
    if not isinstance(checkpoint.tokenizer, TokenizerFile):
        raise ValueError(
            f"The tokenizer of {checkpoint.name} is a "
            f"{type(checkpoint.tokenizer).__name__}; only those of published "
            "checkpoints (TokenizerFile) are saved."
        )
    saving.write_folder(
        pathlib.Path(folder).expanduser(),
        checkpoint.parameters,
        checkpoint.config,
        checkpoint.tokenizer,
        checkpoint.name,
        checkpoint.stored_bits,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Contents:
    """A checkpoint whose weights are still on disk."""

    config: ModelConfig
    tensors: Mapping[str, StoredTensor]
    # Raises ValueError where tensors and config do not fit.
    check: Callable[[], None]
    # build(dtype=, sizes=, shardings=, is_int8=) reads the tensors.
    build: Callable[..., Parameters]
    tokenizer: Tokenizer
    # The model's name, where a file gives one.
    name: str | None = None
    # Per number of its matrices when it was converted, where a file says so.
    converted_from_bits: float | None = None
    # What the content hash covers.
    files: Sequence[pathlib.Path]

    @property
    def stored_bits(self) -> float:
        """Per number of its matrices, on average: what their values can say at most."""
        matrices = [t for t in self.tensors.values() if len(t.shape) > 1]
        sizes = [math.prod(tensor.shape) for tensor in matrices]
        bits = float(np.average([tensor.bits for tensor in matrices], weights=sizes))
        return min(bits, self.converted_from_bits or bits)


_DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}


def _dtype(name: str) -> np.dtype:
    if name not in _DTYPES:
        raise ValueError(f"dtype is {name!r}; give one of {', '.join(_DTYPES)}.")
    return _DTYPES[name]


def _locate(given: str | os.PathLike) -> tuple[pathlib.Path, str]:
    """Returns the path to read and the model's name."""
    path = as_path(given, "a checkpoint's path").expanduser()
    if not path.exists() and hub.is_name(os.fspath(given)):
        return hub.fetch(os.fspath(given)), path.name.partition("@")[0]
    return path, path.stem if path.is_file() else path.resolve().name


def _open(path: pathlib.Path) -> _Contents:
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"No checkpoint at {path}; give a Hugging Face folder (config.json, "
            "*.safetensors, tokenizer.json), a .gguf file, or a model's name on the "
            "Hugging Face hub (org/name)."
        )
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path} holds weights only; give the folder that it lies in, with the "
            "model's config.json and tokenizer.json."
        )
    return _open_gguf(path)


def _open_gguf(path: pathlib.Path) -> _Contents:
    with naming(path):
        file = gguf_file.read_gguf(path)
        return _Contents(
            **_converted(gguf.describe(file), file.tensors),
            tokenizer=gguf_tokenizer.read_tokenizer(file.metadata),
            files=(path,),
        )


def _open_folder(folder: pathlib.Path) -> _Contents:
    check_links(folder)
    if (folder / saving.DESCRIPTION).is_file():
        return _open_saved(folder)
    if not (folder / "config.json").is_file():
        inside = [file.name for file in sorted(folder.glob("*.gguf"))]
        hint = f"; for a GGUF model give one of {', '.join(inside)}" if inside else ""
        raise FileNotFoundError(
            f"{folder} has no config.json; give the folder of a Hugging Face "
            f"model{hint}."
        )
    with naming(folder / "tokenizer.json"):
        tokenizer = TokenizerFile.from_file(folder)
    with naming(folder):
        tensors = safetensors.read_safetensors(folder)
    with naming(folder / "config.json"):
        description = huggingface.describe(folder, tensors)
    with naming(folder / "tokenizer_config.json"):
        files = [folder / "config.json", *tokenizer_files.files_beside(folder)]
    return _Contents(
        **_converted(description, tensors),
        tokenizer=tokenizer,
        files=(*files, *safetensors.weight_files(folder)),
    )


def _open_saved(folder: pathlib.Path) -> _Contents:
    tokenizer = TokenizerFile.from_file(folder)
    path = folder / saving.DESCRIPTION
    with naming(path):
        description = saving.read_description(safetensors.read_json(path))
    with naming(folder):
        tensors = safetensors.read_safetensors(folder)
    return _Contents(
        config=description.config,
        tensors=tensors,
        check=functools.partial(saving.check_tensors, tensors, description),
        build=functools.partial(saving.restore, tensors, description),
        tokenizer=tokenizer,
        name=description.name,
        converted_from_bits=description.stored_bits,
        files=sorted(file for file in folder.iterdir() if file.is_file()),
    )


def _converted(
    description: conversion.Description, tensors: Mapping[str, StoredTensor]
) -> dict[str, Any]:
    """What `_Contents` has of a published model."""
    return {
        "config": description.config,
        "tensors": tensors,
        "check": functools.partial(conversion.check_tensors, tensors, description),
        "build": functools.partial(conversion.build_parameters, tensors, description),
    }


def _check_sizes(contents: _Contents) -> None:
    """Refuses sizes beyond the stored tensors', before anything is made of them."""
    config = contents.config
    filled = [t.shape for t in contents.tensors.values() if 0 not in t.shape]
    longest = max((size for shape in filled for size in shape), default=0)
    bounds = {"layers": len(filled)} | dict.fromkeys(_AXES, longest)
    for name, bound in bounds.items():
        if getattr(config, name) > bound:
            raise ValueError(
                f"the config has {name} {getattr(config, name)}, the largest that its "
                f"tensors allow is {bound}; config and weights do not belong together."
            )


# Each is the length of some axis of some tensor, or less.
_AXES = ("width", "heads", "head_width", "neurons", "vocabulary")


def _hash(files: Sequence[pathlib.Path]) -> str:
    digests = [(path.name, _file_hash(path)) for path in files]
    if len(digests) == 1:
        return digests[0][1]
    listing = "".join(f"{digest}  {name}\n" for name, digest in digests)
    return hashlib.sha256(listing.encode()).hexdigest()


def _file_hash(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
