"""What the tests check of every function of the package: its arrays and their axes."""

import inspect
import typing
from collections.abc import Callable

import jaxtyping
from beartype import beartype


def instrument(package: str) -> None:
    """Has the package's functions checked, from its import on.

    One that neither takes nor gives arrays is left as it is: wrapped, it would be
    called hundreds of thousands of times to no end.
    """
    jaxtyped = jaxtyping.jaxtyped

    def sparing(*given, **options):
        decorate = jaxtyped(*given, **options)
        if given or "typechecker" not in options:
            return decorate
        return lambda thing: decorate(thing) if _has_arrays(thing) else thing

    setattr(jaxtyping, "jaxtyped", sparing)  # noqa: B010
    jaxtyping.install_import_hook(package, f"{__name__}.check")


def check(function: Callable) -> Callable:
    """Checks array arguments and results: axes, their sizes, and the kind of number.

    Other annotations are left to pyright, which also sees what never runs.
    """
    hints = function.__annotations__.items()
    function.__annotations__ = {name: hint for name, hint in hints if _is_array(hint)}
    return beartype(function)


def _has_arrays(thing: typing.Any) -> bool:
    """Whether a function has an annotation that is to be checked.

    Constructors go unchecked: jax builds its pytrees with anything in the leaves
    (batched arrays under vmap, shapes, None), which is right although it contradicts
    the field.
    """
    if inspect.isclass(thing) or getattr(thing, "__name__", "") == "__init__":
        return False
    function = getattr(thing, "fget", getattr(thing, "__func__", thing))
    hints = getattr(function, "__annotations__", {}).values()
    return any(isinstance(hint, str) or _is_array(hint) for hint in hints)


def _is_array(hint: typing.Any) -> bool:
    """Whether a hint is an array with axes, or a union or container of some."""
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_is_array(part) for part in typing.get_args(hint))
