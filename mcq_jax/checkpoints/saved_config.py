"""A config dataclass to JSON and back, by the types of its fields."""

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
    return [to_json(v) for v in value] if isinstance(value, tuple) else value


def from_json(kind: Any, value: Any) -> Any:
    """Returns the value of this kind from what `to_json` made of it."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [k for k in typing.get_args(kind) if k is not type(None)]
        return None if value is None else from_json(kinds[0], value)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(from_json(typing.get_args(kind)[0], v) for v in value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if value not in kind.__members__:
            raise ValueError(f"{value!r} is none of {', '.join(kind.__members__)}.")
        return kind[value]
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _from_fields(kind, value)
    is_number = kind is float and type(value) is int
    if type(value) is not kind and not is_number:
        raise ValueError(f"{value!r} is no {getattr(kind, '__name__', kind)}.")
    return float(value) if is_number else value


def _from_fields(kind: Any, values: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)} of the saved config is not known; load it with the "
            "version that saved it."
        )
    fields = {name: from_json(hints[name], v) for name, v in values.items()}
    try:
        return kind(**fields)
    except TypeError as error:  # a field without a default is missing
        raise ValueError(f"the saved config is not complete: {error}.") from error
