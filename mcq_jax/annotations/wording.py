"""What an annotation asks for, as one reads it."""

import collections.abc
import enum
import types
import typing
from typing import Any

import jax
import numpy as np
from jaxtyping import AbstractArray

from mcq_jax.annotations.alternatives import alternatives, dtype_of, kind_of

# Of an enumeration that is read out.
_MOST_NAMED = 6


def in_words(hint: Any, *, many: bool = False) -> str:
    """Returns what an annotation asks for, as one reads it."""
    options = alternatives(hint)
    if len(options) > 1:
        words = [in_words(option, many=many) for option in options]
        return " or ".join(dict.fromkeys(words))
    [option] = options
    kind, arguments = kind_of(option), typing.get_args(option)
    if kind is AbstractArray:
        axes = ", ".join(option.dim_str.split())
        return f"{_NUMBERS[dtype_of(option)]} [{axes}]" if axes else "a number"
    if kind in (collections.abc.Sequence, tuple):
        noun = "tuple" if kind is tuple else "list"
        inner = [one for one in arguments if one is not ...][:1]
        of = f" of {in_words(inner[0], many=True)}" if inner else ""
        return f"{noun}s{of}" if many else f"a {noun}{of}"
    if kind is collections.abc.Mapping:
        to = [in_words(one, many=True) for one in arguments]
        return f"{'dicts' if many else 'a dict'}{' of ' if to else ''}{' to '.join(to)}"
    if kind is typing.Literal:
        return " or ".join(map(repr, arguments))
    if kind is enum.Enum and not many and len(option) <= _MOST_NAMED:
        return f"one of {', '.join(map(str, option))}"
    if option in _WORDS:
        return _WORDS[option][many]
    if kind is collections.abc.Callable:
        return "functions" if many else "a function"
    name = getattr(option, "__name__", str(option))
    return name if many else f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


_WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "True or False"),
    str: ("text", "texts"),
    types.NoneType: ("None", "None"),
    jax.Array: ("an array", "arrays"),
    np.ndarray: ("an array", "arrays"),
    np.dtype: ("a dtype", "dtypes"),
}
_NUMBERS = {
    "Int": "whole numbers",
    "Integer": "whole numbers",
    "Float": "numbers",
    "Num": "numbers",
    "Bool": "truth values",
    "Shaped": "an array",
}
