"""Dataclasses to JSON and back, by the types of their fields.

The one codec of the house: configs of saved checkpoints, findings of experiments. A
field that is not there has its default; what no field is called by is refused or, where
a later version may have written it, passed over.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any


def to_json(value: Any) -> Any:
    """Returns what `json` can write: enums by name, dataclasses by field."""
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: to_json(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    return [to_json(v) for v in value] if isinstance(value, tuple | list) else value


def from_json(kind: Any, value: Any, *, ignore_unknown: bool = False) -> Any:
    """Returns the value of this kind from what `to_json` made of it.

    Raises:
        ValueError: if it is none; the text says where it is not.
    """
    again = lambda kind, value: from_json(  # noqa: E731
        kind, value, ignore_unknown=ignore_unknown
    )
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        kinds = [k for k in arguments if k is not type(None)]
        return None if value is None else again(kinds[0], value)
    if origin is tuple and isinstance(value, list):
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(again(arguments[0], v) for v in value)
        if len(arguments) != len(value):
            raise ValueError(f"{value!r} has not {len(arguments)} entries.")
        return tuple(again(k, v) for k, v in zip(arguments, value, strict=True))
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {key: again(arguments[1], item) for key, item in value.items()}
    if kind is Any:
        return value
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if value not in kind.__members__:
            raise ValueError(f"{value!r} is none of {', '.join(kind.__members__)}.")
        return kind[value]
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _from_fields(kind, value, again, ignore_unknown)
    is_number = kind is float and type(value) is int
    if type(value) is not kind and not is_number:
        raise ValueError(f"{value!r} is no {getattr(kind, '__name__', kind)}.")
    return float(value) if is_number else value


def _from_fields(
    kind: Any, values: Mapping[str, Any], again: Any, ignore_unknown: bool
) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown and not ignore_unknown:
        raise ValueError(
            f"{', '.join(unknown)} of the saved {kind.__name__} is not known; load it "
            "with the version that saved it."
        )
    fields = {}
    for name, value in values.items():
        if name in unknown:
            continue
        try:
            fields[name] = again(hints[name], value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    try:
        return kind(**fields)
    except TypeError as error:  # a field without a default is missing
        raise ValueError(
            f"the saved {kind.__name__} is not complete: {error}."
        ) from error
