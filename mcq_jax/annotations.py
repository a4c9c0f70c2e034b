"""What an annotation asks for, of a value that somebody hands in.

`taken` returns what is as annotated, lists of numbers as arrays, and says in a sentence
what is not. It judges what a reader of the annotation could: kinds of things, types
and axes of arrays. What it does not know it lets pass.
"""

import collections.abc
import enum
import inspect
import numbers
import types
import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import AbstractArray

from mcq_jax.arguments import check_kind, described

# How long each axis is that has a name, and which argument said so.
Axes = dict[str, tuple[int, str]]

_MOST_NAMED = 6


def taken(value: Any, hint: Any, what: str, axes: Axes | None = None) -> Any:
    """Returns a value that fits its annotation.

    Args:
        what: the value, for the sentence: "tokens of prefill".
        axes: lengths of named axes; those of this value are added.

    Raises:
        ValueError: what was given, as what, and what to give instead.
    """
    try:
        return _taken(value, hint, what, {} if axes is None else axes)
    except _Misfit as misfit:
        raise ValueError(str(misfit)) from None


class _Misfit(Exception):
    """A value that is not what its annotation asks for; says what, if not the usual."""


def _taken(value: Any, hint: Any, what: str, axes: Axes) -> Any:
    options, misfits = _options(hint), []
    for option in options:
        found = dict(axes)
        try:
            value = _TAKERS.get(_kind(option), _any)(value, option, what, found)
        except _Misfit as misfit:
            misfits.append(misfit)
            continue
        axes.update(found)
        return value
    # Of an array the sentence on its type or axes says most.
    told = [m for m in misfits if m.args]
    if told and (len(options) == 1 or hasattr(value, "shape")):
        raise told[0]
    for option in options:
        if _kind(option) is object:  # says so where a larger thing holds it
            try:
                check_kind(value, option, what, f"give {in_words(hint)}")
            except ValueError as error:
                raise _Misfit(str(error)) from None
    raise _Misfit(f"{described(value)} as {what}; give {in_words(hint)}.")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation asks for."""
    try:
        taken(value, hint, "it")
    except ValueError:
        return False
    return True


def in_words(hint: Any, *, many: bool = False) -> str:
    """Returns what an annotation asks for, as one reads it."""
    options = _options(hint)
    if len(options) > 1:
        words = [in_words(option, many=many) for option in options]
        return " or ".join(dict.fromkeys(words))
    [option] = options
    kind, arguments = _kind(option), typing.get_args(option)
    if kind is AbstractArray:
        axes = ", ".join(option.dim_str.split())
        return f"{_NUMBERS[_dtype(option)]} [{axes}]" if axes else "a number"
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
_DTYPES = {
    "Int": (jnp.integer,),
    "Integer": (jnp.integer,),
    "Float": (jnp.floating, jnp.integer),
    "Num": (jnp.floating, jnp.integer, jnp.bool_),
    "Bool": (jnp.bool_,),
}


def _options(hint: Any) -> list[Any]:
    """An annotation's alternatives, each once, arrays of any library as one."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [o for one in typing.get_args(hint) for o in _options(one)]
        asked = [
            (_dtype(o), o.dim_str) if _kind(o) is AbstractArray else o for o in options
        ]
        return [o for i, o in enumerate(options) if asked[i] not in asked[:i]]
    return [hint]


def _kind(option: Any) -> Any:
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
    return option if option in _TAKERS else object


def _dtype(option: Any) -> str:
    return option.__name__.partition("[")[0]


def _any(value, option, what, axes):
    return value


def _instance(value, option, what, axes):
    if not isinstance(value, typing.get_origin(option) or option):
        raise _Misfit
    return value


def _number(value, option, what, axes):
    ranks = {int: numbers.Integral, float: numbers.Real}
    is_one = isinstance(value, ranks[option]) or _is_scalar(value, option)
    if isinstance(value, bool | np.bool_) or not is_one:
        raise _Misfit
    return value


def _is_scalar(value, option) -> bool:
    """Whether it is an array without axes, traced or not, of such a number."""
    if getattr(value, "shape", None) != () or not hasattr(value, "dtype"):
        return False
    kinds = _DTYPES["Int" if option is int else "Float"]
    return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _truth(value, option, what, axes):
    if not isinstance(value, bool | np.bool_):
        raise _Misfit
    return value


def _literal(value, option, what, axes):
    if value not in typing.get_args(option):
        raise _Misfit
    return value


def _function(value, option, what, axes):
    if not callable(value):
        raise _Misfit
    return value


def _plain_array(value, option, what, axes):
    """Of any library, with any axes."""
    if not isinstance(value, numbers.Number) and not hasattr(value, "dtype"):
        raise _Misfit
    return value


def _type_of_numbers(value, option, what, axes):
    try:
        np.dtype(value)
    except TypeError:
        raise _Misfit from None
    return value


def _protocol(value, option, what, axes):
    asked = {*getattr(option, "__annotations__", ()), *vars(option)}
    if not all(hasattr(value, name) for name in asked if not name.startswith("_")):
        raise _Misfit
    return value


def _sequence(value, option, what, axes):
    if not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
        raise _Misfit
    if isinstance(value, str) and typing.get_args(option) == (str,):
        return value  # a list of letters, as in labels="ABCD"
    is_set = isinstance(value, collections.abc.Set)
    may_be = typing.get_origin(option) is collections.abc.Collection
    if isinstance(value, str | bytes | collections.abc.Mapping) or is_set > may_be:
        raise _Misfit
    asked = typing.get_args(option)
    if not asked or type(value) not in (list, tuple):
        return value
    if _kind(option) is tuple and asked[-1] is not ...:
        if len(value) != len(asked):
            raise _Misfit
    else:
        asked = (asked[0],) * len(value)
    one = what if what.startswith("one of ") else f"one of {what}"
    # Axes of one name may differ from element to element.
    found = [_taken(*both, one, dict(axes)) for both in zip(value, asked, strict=True)]
    is_same = all(new is old for new, old in zip(found, value, strict=True))
    return value if is_same else type(value)(found)


def _mapping(value, option, what, axes):
    if not isinstance(value, collections.abc.Mapping):
        raise _Misfit
    for of_key, of_value in (
        [typing.get_args(option)] if typing.get_args(option) else ()
    ):
        for key, one in value.items():
            _taken(key, of_key, f"a key of {what}", {})
            _taken(one, of_value, f"one of {what}", dict(axes))
    return value


def _array(value, option, what, axes):
    if isinstance(value, list | tuple):
        value = _as_array(value, option)
    _plain_array(value, option, what, axes)
    dtype = getattr(value, "dtype", None) or np.asarray(value).dtype
    kinds = _DTYPES.get(_dtype(option))
    if kinds and not any(jnp.issubdtype(dtype, kind) for kind in kinds):
        is_mask = jnp.issubdtype(dtype, jnp.bool_)
        hint = "that is a mask; give indices" if is_mask else f"give {in_words(option)}"
        raise _Misfit(f"{what} has type {dtype}; {hint}.")
    _check_axes(np.shape(value), option, what, axes)
    return value


def _as_array(value, option):
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different length
        raise _Misfit from error
    if array.dtype == object:
        raise _Misfit
    if not array.size and _dtype(option) in ("Int", "Integer", "Bool"):
        array = array.astype(bool if _dtype(option) == "Bool" else np.int64)
    return array if option.array_type is np.ndarray else jnp.asarray(array)


def _check_axes(shape: tuple[int, ...], option, what: str, axes: Axes) -> None:
    names = option.dim_str.split()
    variadic = [i for i, name in enumerate(names) if name.startswith(("*", "..."))]
    if len(shape) != len(names) if not variadic else len(shape) < len(names) - 1:
        raise _Misfit(f"{what} has shape {shape}; give {in_words(option)}.")
    behind = len(names) - variadic[0] - 1 if variadic else 0
    ends = [*zip(names[: variadic[0] if variadic else None], shape, strict=False)]
    if behind:
        ends += zip(names[-behind:], shape[-behind:], strict=True)
    for name, size in ends:
        if not name.isidentifier() or name == "_":
            continue
        other, said = axes.setdefault(name, (size, what))
        if other != size:
            raise _Misfit(
                f"{what} has {size} along {name}, where {said} has {other}; give as "
                "many."
            )


_TAKERS: dict[Any, Any] = {
    AbstractArray: _array,
    enum.Enum: _instance,
    object: _instance,
    jax.Array: _plain_array,
    np.ndarray: _plain_array,
    int: _number,
    float: _number,
    bool: _truth,
    tuple: _sequence,
    collections.abc.Sequence: _sequence,
    collections.abc.Mapping: _mapping,
    collections.abc.Callable: _function,
    typing.Literal: _literal,
    typing.Protocol: _protocol,
    np.dtype: _type_of_numbers,
}
