"""What made a table, in a form that can be kept, compared and hashed.

A table is used again only if everything that it depends on is the same. Arrays go by
their bytes (never by their printed form, which numpy abbreviates), functions by their
source: a name says nothing about either.
"""

import dataclasses
import enum
import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

# Raised when the engine comes to other numbers than before from the same inputs.
ENGINE_VERSION = 1

Json = Any


def key_of(identity: Mapping[str, Any]) -> str:
    """Returns 16 hexadecimal digits that stand for an identity, on every machine."""
    text = json.dumps(fingerprint(identity), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(value: Any) -> Json:
    """Returns a JSON value that is the same exactly if the value is.

    Raises:
        ValueError: for a function that cannot be told from another one (a lambda, a
            closure, a partial application), and for values of other types.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Mapping):
        return {_name(key): fingerprint(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fingerprint(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((fingerprint(item) for item in value), key=json.dumps)
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return _of_array(np.asarray(value))
    if isinstance(value, np.dtype):
        return f"dtype {value}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"class": type(value).__qualname__, **fingerprint(_fields(value))}
    if callable(value):
        return _of_function(value)
    raise ValueError(
        f"a table cannot depend on a {type(value).__qualname__}; give numbers, texts, "
        "arrays, dataclasses or functions."
    )


def weights_fingerprint(parameters: Any) -> str:
    """Returns a hash of all weights' bytes; a pass over memory, so ask once per run."""
    leaves, structure = jax.tree.flatten(parameters)
    if not all(getattr(leaf, "is_fully_addressable", True) for leaf in leaves):
        raise ValueError(
            "the weights lie on other hosts too and cannot be hashed here; pass the "
            "checkpoint's `content_hash` as weights=."
        )
    return key_of({"structure": str(structure), "arrays": leaves})


# A field of a later version, None of which is as before: so older tables are known.
ADDED_LATER = types.MappingProxyType({"added later": True})


def _fields(value: Any) -> dict[str, Any]:
    found = {f: getattr(value, f.name) for f in dataclasses.fields(value)}
    return {
        field.name: one
        for field, one in found.items()
        if one is not None or not ADDED_LATER.items() <= field.metadata.items()
    }


def _name(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(fingerprint(key))


def _of_array(array: np.ndarray) -> Json:
    if array.dtype == object:
        return {"objects": fingerprint(array.tolist()), "shape": list(array.shape)}
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "bytes": content}


def _of_function(function: Callable) -> Json:
    """A module-level function, by its place and source; jit around it changes nothing.

    What it calls is not looked into: a function that calls what has changed says so by
    an attribute `version`.
    """
    inner = inspect.unwrap(function)
    name = getattr(inner, "__qualname__", repr(inner))
    made_anew = not isinstance(inner, types.FunctionType) or inner.__closure__
    if isinstance(function, functools.partial) or made_anew or "<" in name:
        raise ValueError(
            f"{name} cannot be told from another function of that name, and a table "
            "kept in a folder has to say what made it; write it as `def` at the top of "
            "a module."
        )
    try:
        source = inspect.getsource(inner)
    except OSError as error:
        raise ValueError(
            f"the source of {name} cannot be read, and a table kept in a folder has to "
            "say what made it; write it into a file."
        ) from error
    return {
        "function": f"{inner.__module__}:{name}",
        "source": hashlib.sha256(source.encode()).hexdigest(),
        "version": fingerprint(getattr(inner, "version", None)),
    }
