"""`taken`: values as annotated, lists of numbers as arrays; what is not, in words.

It judges what a reader of the annotation could: kinds of things, types and axes of
arrays. What it does not know it lets pass.
"""

import collections.abc
import enum
import numbers
import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import AbstractArray

from mcq_jax.annotations.alternatives import alternatives, dtype_of, kind_of
from mcq_jax.annotations.wording import in_words
from mcq_jax.arguments import check_kind, described

# How long each axis is that has a name, and which argument said so.
Axes = dict[str, tuple[int, str]]


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
    options, misfits = alternatives(hint), []
    for option in options:
        found = dict(axes)
        try:
            value = _TAKERS.get(kind_of(option), _any)(value, option, what, found)
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
        if kind_of(option) is object:  # says so where a larger thing holds it
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


_DTYPES = {
    "Int": (jnp.integer,),
    "Integer": (jnp.integer,),
    "Float": (jnp.floating, jnp.integer),
    "Num": (jnp.floating, jnp.integer, jnp.bool_),
    "Bool": (jnp.bool_,),
}


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
    if kind_of(option) is tuple and asked[-1] is not ...:
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
    kinds = _DTYPES.get(dtype_of(option))
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
    if not array.size and dtype_of(option) in ("Int", "Integer", "Bool"):
        array = array.astype(bool if dtype_of(option) == "Bool" else np.int64)
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
