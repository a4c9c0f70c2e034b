"""Public functions that hold what they are given against their annotations.

A package's last line, `check_calls(__name__)`, wraps all that it exports; whoever adds
a function adds nothing here. Inside the package its modules call each other directly,
and under `jit` what is checked is traced: compiled programs cost nothing more.
"""

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from mcq_jax.annotations import taken
from mcq_jax.arguments import refuse_unknown


def check_calls(package: str) -> None:
    """Puts a checked function in place of each that a package exports."""
    module = sys.modules[package]
    for name in module.__all__:
        thing = getattr(module, name)
        is_function = isinstance(inspect.unwrap(thing), types.FunctionType)
        if is_function and not inspect.isclass(thing):
            setattr(module, name, checked(thing))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that raises ValueError, in a sentence, for a wrong call."""
    inner = inspect.unwrap(function)
    signature, name = inspect.signature(inner), inner.__name__
    named = [p.name for p in signature.parameters.values() if p.kind in _NAMED]

    @functools.wraps(function)
    def call(*args, **options):
        try:
            bound = signature.bind(*args, **options)
        except TypeError as error:
            if all(p.kind is not p.VAR_KEYWORD for p in signature.parameters.values()):
                refuse_unknown(name, set(options) - set(named), named)
            said = f"{name}: {error}; it takes {', '.join(named)}."
            raise ValueError(said) from error
        hints, axes = hints_of(inner), {}
        for one in named:
            if one in bound.arguments and one in hints:
                what, given = f"{one} of {name}", bound.arguments[one]
                bound.arguments[one] = taken(given, hints[one], what, axes)
                _check_least(one, given, what)
        return function(*bound.args, **bound.kwargs)

    return call


def check_options(kind: type, given: Mapping[str, Any]) -> None:
    """Raises ValueError for a wrong option of a dataclass, before it is made."""
    known = [field.name for field in dataclasses.fields(kind) if field.init]
    refuse_unknown(kind.__name__, set(given) - set(known), known)
    hints = hints_of(kind)
    for name in given.keys() & hints.keys():
        what = f"{name} of {kind.__name__}"
        taken(given[name], hints[name], what)
        _check_least(name, given[name], what)


class CheckedOptions:
    """A base of dataclasses of options, whose options are checked when one is made."""

    def __new__(cls, **options: Any):
        check_options(cls, options)
        return object.__new__(cls)


# What a number of such a name is at least, wherever it is given.
_LEAST = {
    "seed": 0, "planted_seed": 0, "at_once": 1, "prompts_at_once": 1, "rows_at_once": 1,
}  # fmt: skip


def _check_least(name: str, given: Any, what: str) -> None:
    least = _LEAST.get(name)
    if least is not None and isinstance(given, int) and given < least:
        raise ValueError(f"{given} as {what}; give at least {least}.")


_NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


@functools.cache
def hints_of(thing: Callable[..., Any] | type) -> dict[str, Any]:
    """Annotations by name; those of names that only type checkers import are left out.

    Of a dataclass: those of its fields.
    """
    try:
        return typing.get_type_hints(thing)
    except NameError:
        written = inspect.get_annotations(thing)
        return {name: one for name, one in written.items() if not _mentions(one)}


def _mentions(hint: Any) -> bool:
    """Whether an annotation has a name in quotes, or is one."""
    if isinstance(hint, str | typing.ForwardRef):
        return True
    return any(map(_mentions, typing.get_args(hint)))
