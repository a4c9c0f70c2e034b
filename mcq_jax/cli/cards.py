"""`read_card`: a card is a Python file whose `config()` says what is to be done."""

import importlib.util
import pathlib
import sys
from typing import Any, TypeVar

Card = TypeVar("Card")


def read_card(path: pathlib.Path, kind: type[Card]) -> tuple[Card, tuple[Any, ...]]:
    """Returns what the file's `config()` returns, and its `sections` if it has any."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no config at {path}; configs are Python files, such as configs/demo.py."
        )
    sys.path.insert(0, str(path.parent.resolve()))  # a card may import its neighbours
    # A module of its own, in which the classes of the card are found again.
    spec = importlib.util.spec_from_file_location(f"card {path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        made = getattr(module, "config", None)
        config = made() if callable(made) else None
    except Exception as error:  # it is somebody's program: anything may go wrong
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(config, kind):
        raise ValueError(
            f"{path} has no function config() that returns a {kind.__name__}."
        )
    return config, tuple(getattr(module, "SECTIONS", ()))
