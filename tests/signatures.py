"""The checker that the tests put on every annotated function of the package."""

import inspect
import typing
from collections.abc import Callable

from beartype import beartype
from jaxtyping import AbstractArray


def check(function: Callable) -> Callable:
    """Checks array arguments and results: axes, their sizes, and the kind of number.

    Other annotations are left to pyright, which also sees what never runs. Constructors
    go unchecked: jax builds its pytrees with anything in the leaves (batched arrays
    under vmap, shapes, None), which is right although it contradicts the field.
    """
    if function.__name__ == "__init__":
        return function
    hints = function.__annotations__.items()
    function.__annotations__ = {name: hint for name, hint in hints if _is_array(hint)}
    return beartype(function)


def _is_array(hint: typing.Any) -> bool:
    """Whether a hint is an array with axes, or a union or container of some."""
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(_is_array(part) for part in typing.get_args(hint))
