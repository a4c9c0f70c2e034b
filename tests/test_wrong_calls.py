"""Every public function says of a wrong argument what was given, and what to give.

Functions are found, not listed: what a package exports is called with wrong arguments,
one at a time, beside ones that are as annotated. None of the calls gets past the check.
"""

import collections.abc
import dataclasses
import enum
import importlib
import inspect
import types
import typing
from typing import Any

import jax
import numpy as np
import pytest
from jaxtyping import AbstractArray

from mcq_jax import experiments
from mcq_jax.annotations import fits
from mcq_jax.checked_calls import hints_of

PACKAGES = (
    "experiments", "learning", "metrics", "passes", "paths", "prompts", "sweeps",
)  # fmt: skip
# What fits no annotation but Any, and what few do.
NOTHING, NOBODY = object(), types.SimpleNamespace(parameters=1)
WRONG = (NOTHING, NOBODY, None, "?", {"?": NOTHING}, [NOTHING], 1j)
SIZE = 3


def functions_of(package: str) -> dict[str, Any]:
    """By name, all functions that a package exports."""
    module = importlib.import_module(f"mcq_jax.{package}")
    things = {name: getattr(module, name) for name in module.__all__}
    return {
        name: thing
        for name, thing in things.items()
        if isinstance(inspect.unwrap(thing), types.FunctionType)
        and not inspect.isclass(thing)
    }


def example(hint: Any) -> Any:
    """Something as annotated; an object of a class is an empty one."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        return example(arguments[-1])
    if origin is typing.Literal:
        return arguments[0]
    if origin is collections.abc.Callable:
        return example
    if not inspect.isclass(origin) or origin is Any:
        return NOTHING
    if issubclass(origin, AbstractArray):
        shape = [SIZE for name in origin.dim_str.split() if name[0] not in "*."]
        kinds = {"Int": int, "Integer": int, "Bool": bool}
        return np.zeros(shape, kinds.get(origin.__name__.partition("[")[0], float))
    if issubclass(origin, enum.Enum):
        return next(iter(origin))
    if issubclass(origin, collections.abc.Mapping):
        return {example(one): example(other) for one, other in [arguments]}
    if origin is tuple and arguments[-1] is not ...:
        return tuple(map(example, arguments))
    if origin in (tuple, collections.abc.Sequence, collections.abc.Collection):
        return [example(arguments[0])]
    if getattr(origin, "_is_protocol", False):
        members = {*getattr(origin, "__annotations__", ()), *vars(origin)}
        return types.SimpleNamespace(**dict.fromkeys(members))
    plain = {int: 1, float: 1.0, bool: True, str: "a", jax.Array: np.zeros(SIZE)}
    plain |= {np.dtype: np.dtype("float32"), types.NoneType: None}
    plain |= {np.random.Generator: np.random.default_rng(0)}
    if issubclass(origin, tuple):
        fields: tuple[str, ...] = getattr(origin, "_fields", ())
        return tuple.__new__(origin, [None] * len(fields))
    return plain[origin] if origin in plain else _empty(origin)


def _empty(kind: type) -> Any:
    """An object of a class with only names in it, so that it can be a key."""
    made = object.__new__(kind)
    for name in getattr(kind, "__dataclass_fields__", ()):
        object.__setattr__(made, name, name)
    return made


def wrong_calls(function: Any) -> list[tuple[str, dict[str, Any]]]:
    """Names of arguments, and calls of which these are wrong."""
    hints = dict(hints_of(inspect.unwrap(function)))
    known = inspect.signature(function).parameters.values()
    takes_others = any(p.kind is p.VAR_KEYWORD for p in known)
    names = [p.name for p in known if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    right = {name: example(hints[name]) for name in names}
    found = []
    for name in names:
        wrong = (*WRONG, *_other_numbers(hints[name]))
        wrong = [one for one in wrong if _is_wrong(one, hints[name])]
        found += [(name, right | {name: one}) for one in wrong]
        if not takes_others:
            found.append((f"{name}_", right | {f"{name}_": right[name]}))
    return found


def _other_numbers(hint: Any) -> list[Any]:
    """Arrays of other axes and types than an annotation of one has."""
    if not inspect.isclass(hint) or not issubclass(hint, AbstractArray):
        return []
    right, kind = example(hint), hint.__name__.partition("[")[0]
    others: list[Any] = (
        [] if "*" in hint.dim_str else [np.zeros((2, *right.shape), right.dtype)]
    )
    if kind in ("Int", "Integer", "Bool"):
        others.append(right + 0.5)
    if kind != "Shaped":
        others += [right.astype(complex), right.astype(str)]
    if right.ndim == 2:
        others.append([[0], [0, 0]])
    return others


def _is_wrong(one: Any, hint: Any) -> bool:
    """Whether `one` is wrong by itself; said apart from what the package judges by."""
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        return all(_is_wrong(one, option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return True
    if origin is Any or not inspect.isclass(origin):
        return False
    if isinstance(one, list) and Any in typing.get_args(hint):
        return False
    if one is None:
        return origin is not types.NoneType
    if isinstance(one, str):
        is_letters = (
            origin is collections.abc.Sequence and typing.get_args(hint)[0] is str
        )
        return origin not in (str, np.dtype) and not is_letters
    may_be_complex = origin in (jax.Array, np.ndarray, complex)
    if issubclass(origin, AbstractArray):
        may_be_complex = origin.__name__.startswith("Shaped") and not origin.dim_str
    return not (isinstance(one, complex) and may_be_complex)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wrong_argument_of_any_public_function_ends_in_a_sentence(package: str):
    for name, function in functions_of(package).items():
        for argument, call in wrong_calls(function):
            with pytest.raises(ValueError) as raised:
                function(**call)
            said = str(raised.value)
            assert f"{argument} of {name}" in said or f"no {argument}=" in said, said
            assert ";" in said, said


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_as_annotated_passes(package: str):
    for name, function in functions_of(package).items():
        hints = hints_of(inspect.unwrap(function))
        for argument in hints.keys() - {"return"}:
            hint = hints[argument]
            assert fits(example(hint), hint), f"{argument} of {name}"


def test_a_wrong_option_of_any_experiment_or_card_ends_in_a_sentence():
    kinds: list[Any] = [
        thing
        for thing in (getattr(experiments, name) for name in experiments.__all__)
        if dataclasses.is_dataclass(thing)
    ]
    assert len(kinds) > 20
    for kind in kinds:
        for field in dataclasses.fields(kind):
            hint = hints_of(kind)[field.name]
            for one in WRONG:
                if not _is_wrong(one, hint):
                    continue
                with pytest.raises(
                    ValueError, match=f"{field.name} of {kind.__name__}"
                ):
                    kind(**{field.name: one})
        with pytest.raises(ValueError, match="has no nothing="):
            kind(nothing=1)
