"""What callers hand over: of the right kind, or a sentence on why not.

Each sentence says what was given, as what, and what to give instead. One function per
kind of mistake, so that no public function ends in a traceback of its insides.
"""

import difflib
import enum
import json
import operator
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

# Where a larger thing holds what was asked for.
_INSIDE = ("parameters", "config", "edits", "activations")
_LONGEST = 60


def check_kind(
    thing: Any, kind: type | tuple[type, ...], name: str, advice: str
) -> None:
    """Raises ValueError for a thing of another kind than the one that is needed."""
    if isinstance(thing, kind):
        return
    for inside in _INSIDE:
        if hasattr(thing, inside) and isinstance(getattr(thing, inside), kind):
            advice = f"give its `.{inside}`"
    raise ValueError(f"{described(thing)} as {name}; {advice}.")


def as_array(given: Any, name: str, advice: str = "give numbers") -> Array:
    """Returns numbers, or lists of equal length of them, as an array."""
    try:
        return jnp.asarray(given)
    except (TypeError, ValueError, OverflowError) as error:
        if hasattr(given, "activations"):
            advice = "give one of its `.activations`"
        elif isinstance(given, list | tuple):
            advice += ", in rows of equal length"
        raise ValueError(f"{described(given)} as {name}; {advice}.") from error


def as_whole_numbers(given: Any, name: str) -> Int[Array, "..."]:
    """Returns whole numbers as an array; floats and masks are neither."""
    array = as_array(given, name, "give whole numbers")
    if array.size and not jnp.issubdtype(array.dtype, jnp.integer):
        is_mask = array.dtype == bool
        hint = "that is a mask; give indices" if is_mask else "give whole numbers"
        raise ValueError(f"{name} have type {array.dtype}; {hint}.")
    return array.astype(jnp.int32)


def as_integer(given: Any, name: str) -> int:
    """Returns one whole number."""
    if isinstance(given, bool | np.bool_):
        raise ValueError(f"{given} as {name}; give a whole number, not a mask.")
    try:
        return operator.index(given)
    except TypeError as error:
        raise ValueError(
            f"{described(given)} as {name}; give a whole number."
        ) from error


def as_integers(given: Any, name: str) -> tuple[int, ...]:
    """Returns a list of whole numbers, or one, as a tuple, which can be static."""
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        return (as_integer(given, name),)
    if getattr(given, "ndim", 1) == 0:
        return (as_integer(given, name),)
    return tuple(as_integer(one, f"one of {name}") for one in given)


def require_places(given: Any, size: int, name: str) -> None:
    """Raises ValueError for whole numbers that are no place among `size` things.

    Arrays take -1 for the last one, and jax the last one for all beyond.
    """
    array = np.asarray(given)
    if array.size and not 0 <= array.min() <= array.max() < size:
        raise ValueError(
            f"{name} run from {array.min()} to {array.max()}; give some of 0 to "
            f"{size - 1}."
        )


def require_finite(given: Any, name: str) -> None:
    """Raises ValueError for an array with NaN or infinities, which compare as nothing.

    An order, a largest one or a rank of such numbers looks like any other.
    """
    array = np.asarray(given)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"{name}: {len(bad)} of {array.size} numbers are not finite, first "
            f"{array[tuple(bad[0])]} at {bad[0].tolist()}; leave those out, or look "
            "for what overflows."
        )


def check_key(key: Any) -> None:
    """Raises ValueError for what is no single key for random numbers."""
    array = as_array(key, "a key", "give jax.random.key(0)")
    is_typed = jnp.issubdtype(array.dtype, jax.dtypes.prng_key) and array.ndim == 0
    if not is_typed and (array.dtype, array.shape) != (jnp.uint32, (2,)):
        raise ValueError(
            f"{array.dtype}{list(array.shape)} as a key; give one, jax.random.key(0)."
        )


def as_path(given: Any, name: str) -> pathlib.Path:
    """Returns a local path."""
    check_kind(given, (str, os.PathLike), name, "give text or a pathlib.Path")
    return pathlib.Path(given)


def as_json(given: Any, name: str, **options: Any) -> str:
    """Returns what JSON can hold as text."""
    try:
        return json.dumps(given, ensure_ascii=False, **options)
    except TypeError as error:
        raise ValueError(
            f"{name} holds what JSON cannot: {error}; give text, numbers, lists, dicts."
        ) from error


def refuse_unknown(what: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """Raises ValueError for an argument that there is none of: `layer=`."""
    known = list(known)
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"is {near[0]}= meant?" if near else "leave it out."
        raise ValueError(
            f"{what} has no {name}= (there are {', '.join(known)}); {hint}"
        )


def described(thing: Any) -> str:
    """Returns what a thing is, in a few words."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if thing is None or isinstance(
        thing, str | bytes | bool | int | float | complex | enum.Enum
    ):
        text = repr(thing)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    name = type(thing).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
