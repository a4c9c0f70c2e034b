"""Config attributes, taken one by one; what nobody took is refused by name."""

from collections.abc import Mapping
from typing import Any

_REQUIRED: Any = object()


class Attributes:
    """The attributes of one config, each to be taken once.

    An attribute that is absent or null has its default.
    """

    def __init__(self, values: Mapping[str, Any], source: str):
        """Holds a copy of `values`; `source` says in errors where they come from."""
        self._values = dict(values)
        self.source = source

    def take(
        self, name: str, kind: type, default: Any = _REQUIRED, *, null: Any = _REQUIRED
    ) -> Any:
        """Returns the attribute, checked to be of a kind that JSON has.

        Args:
            null: what null stands for, where that is not the default.
        """
        if null is not _REQUIRED and self._values.get(name, default) is None:
            self._values.pop(name, None)
            return null
        value = self._values.pop(name, None)
        if value is None:
            if default is _REQUIRED:
                raise ValueError(
                    f"{self.source} has no {name}, which the model's shape needs; "
                    "check that it is complete."
                )
            return default
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise ValueError(
                f"{name} is {value!r} in {self.source}; expected a {kind.__name__}."
            )
        return value

    def expect(self, name: str, *allowed: Any) -> None:
        """Refuses an attribute that has a value other than these (null is allowed)."""
        value = self._values.pop(name, None)
        if value is not None and value not in allowed:
            choices = " or ".join(map(repr, allowed))
            raise ValueError(
                f"{name} is {value!r} in {self.source}; only {choices} is supported."
            )

    def ignore(self, *names: str) -> None:
        """Drops attributes that do not change what the model computes."""
        for name in names:
            self._values.pop(name, None)

    def names(self) -> list[str]:
        """Returns the names of the attributes that nobody took so far."""
        return list(self._values)

    def drop_double(self, name: str, other: str, default: Any) -> None:
        """Drops `other`, a second name of `name`, that nobody reads; they must agree.

        Args:
            default: what `name` stands for where it is absent.
        """
        value, double = self._values.get(name), self._values.pop(other, None)
        value = default if value is None else value
        if double is not None and double != value:
            raise ValueError(
                f"{name} is {value!r} and {other} {double!r} in {self.source}, two "
                "names of one thing; remove the one that does not hold."
            )

    def finish(self) -> None:
        """Refuses what is left, but for null, which says nothing."""
        self.ignore(*(name for name, v in list(self._values.items()) if v is None))
        if self._values:
            raise ValueError(
                f"{self.source} has attributes that are not understood: "
                f"{', '.join(sorted(self._values))}. They may change what the model "
                "computes, so it is not loaded; remove those that do not."
            )
