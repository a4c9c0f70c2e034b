"""An annotation taken apart: its alternatives, and what kind of thing each asks for."""

import collections.abc
import enum
import inspect
import types
import typing
from typing import Any

import jax
import numpy as np
from jaxtyping import AbstractArray

# Asked for as themselves; other classes are asked for as `object`.
_BY_THEMSELVES = {int, float, bool, tuple, jax.Array, np.ndarray}


def alternatives(hint: Any) -> list[Any]:
    """An annotation's alternatives, each once, arrays of any library as one."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [o for one in typing.get_args(hint) for o in alternatives(one)]
        asked = [
            (dtype_of(o), o.dim_str) if kind_of(o) is AbstractArray else o
            for o in options
        ]
        return [o for i, o in enumerate(options) if asked[i] not in asked[:i]]
    return [hint]


def kind_of(option: Any) -> Any:
    """Which of the ways to judge below is an alternative's."""
    origin = typing.get_origin(option)
    if origin is typing.Literal:
        return origin
    option = origin or option
    if option is Any or not inspect.isclass(option):
        return None
    if option is collections.abc.Callable:
        return option
    for kind in (AbstractArray, enum.Enum, collections.abc.Mapping, np.dtype):
        if issubclass(option, kind):
            return kind
    if option in (collections.abc.Sequence, collections.abc.Collection, list):
        return collections.abc.Sequence
    if getattr(option, "_is_protocol", False):
        return typing.Protocol
    return option if option in _BY_THEMSELVES else object


def dtype_of(option: Any) -> str:
    return option.__name__.partition("[")[0]
