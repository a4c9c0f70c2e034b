"""Edits as files: one safetensors file whose header holds the words as JSON.

Numbers are tensors and the rest is text, so a file can be read without this package
and cannot run anything: a user's function is stored by name, and only functions that
the reader lists are taken back.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
from jaxtyping import Array
from safetensors.numpy import save_file

from mcq_jax.arguments import as_json, as_path, check_kind
from mcq_jax.interventions import features, projections
from mcq_jax.interventions.edits import Argument, Edit, Kind, is_concrete
from mcq_jax.interventions.lists import as_edits
from mcq_jax.interventions.sites import Site

FORMAT, VERSION = "mcq_jax.edits", 1
ARRAYS = ("layers", "positions", "units", "keys", "readers", "weight", "value")


@dataclasses.dataclass(frozen=True)
class EditSet:
    """What a file of edits holds; `print` it to read it."""

    edits: tuple[Edit, ...]
    # Anything that JSON can hold: model, data, commit, who and why.
    provenance: Mapping[str, Any]

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.edits)

    def __len__(self) -> int:
        return len(self.edits)

    def __getitem__(self, index: int) -> Edit:
        return self.edits[index]

    def __str__(self) -> str:
        lines = [f"{i}. {edit}" for i, edit in enumerate(self.edits, start=1)]
        about = [f"{name}: {value}" for name, value in self.provenance.items()]
        return "\n".join([*lines, *about])


def save_edits(
    path: str | pathlib.Path,
    edits: Edit | Sequence[Edit],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Writes edits, in their order, to a `.safetensors` file."""
    path, provenance = as_path(path, "a file's path"), provenance or {}
    check_kind(provenance, Mapping, "provenance", "give a dict")
    if not path.parent.is_dir():
        raise ValueError(f"{path} in a folder that is not there; make it first.")
    described, tensors = [], {}
    for index, edit in enumerate(as_edits(edits)):
        arrays = _arrays(edit)
        if not is_concrete(*arrays.values()):
            raise ValueError(
                f"edit {index} ({edit}) has traced arrays; save it outside of jit "
                "and grad."
            )
        tensors |= {f"{index}.{k}": np.array(a) for k, a in arrays.items()}
        described.append(
            {
                "reads": str(edit),
                "site": edit.site.label,
                "kind": edit.kind.name,
                "function": edit.function and _name(edit.function),
                "arguments": len(edit.arguments),
                "arrays": list(arrays),
            }
        )
    header = {
        "format": FORMAT,
        "version": VERSION,
        "edits": described,
        "provenance": dict(provenance),
    }
    save_file(tensors, path, metadata={FORMAT: as_json(header, "provenance")})


def load_edits(
    path: str | pathlib.Path,
    *,
    functions: Callable[..., Array] | Sequence[Callable[..., Array]] = (),
) -> EditSet:
    """Reads what `save_edits` wrote.

    Args:
        functions: the users' functions that edits of the file may call; those of this
            package are known.
    """
    header, tensors = _read(as_path(path, "a file's path"))
    functions = (functions,) if callable(functions) else functions or ()
    known = {_name(function): function for function in (*_BUILT_IN, *functions)}
    edits = [
        _edit(path, index, words, tensors, known)
        for index, words in enumerate(header["edits"])
    ]
    return EditSet(tuple(edits), header["provenance"])


_BUILT_IN = (
    projections.onto_basis,
    projections.out_of_basis,
    features.with_features_set,
    features.with_features_scaled,
)


def _name(function: Callable) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _arrays(edit: Edit) -> dict[str, Array]:
    found = {name: getattr(edit, name) for name in ARRAYS}
    found |= {f"arguments.{i}": a.values for i, a in enumerate(edit.arguments)}
    return {name: array for name, array in found.items() if array is not None}


def _read(path: str | pathlib.Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}.") from error
    header = json.loads(metadata.get(FORMAT, "{}"))
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        found = header.get("version", "no edits")
        raise ValueError(
            f"{path} holds {found} where version {VERSION} of {FORMAT} is read; write "
            "it with save_edits of this version."
        )
    return header, tensors


def _edit(path, index: int, words: Mapping, tensors: Mapping, known: Mapping) -> Edit:
    name = words["function"]
    if name is not None and name not in known:
        raise ValueError(
            f"edit {index} of {path} calls {name}; if you trust it, import it and pass "
            "functions=[…] with it."
        )

    def array(key: str) -> Array | None:
        found = tensors.get(f"{index}.{key}")
        return None if found is None else jnp.asarray(found)

    # What is left out has a meaning, so a lost array would be another edit. Files from
    # before the list had these in any case.
    arrays = words.get("arrays", ["layers", "weight", "value"])
    missing = {f"{index}.{key}" for key in arrays}
    missing |= {f"{index}.arguments.{i}" for i in range(words["arguments"])}
    if absent := sorted(missing - tensors.keys()):
        raise ValueError(f"{path} lacks {', '.join(absent)}; the file is damaged.")
    arguments = (tensors[f"{index}.arguments.{i}"] for i in range(words["arguments"]))
    return Edit(
        site=Site.parse(words["site"])[0],
        kind=Kind[words["kind"]],
        function=None if name is None else known[name],
        arguments=tuple(Argument(jnp.asarray(values)) for values in arguments),
        **{key: array(key) for key in ARRAYS},  # pyright: ignore[reportArgumentType]
    )
