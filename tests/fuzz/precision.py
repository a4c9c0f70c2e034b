"""The reference in other numbers for a while: in float64, or of other weights."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")


@contextlib.contextmanager
def in_float64(model) -> Iterator[None]:
    """The same weights in float64, where the reference lets them be."""
    model.double()
    try:
        yield
    finally:
        model.float()


@contextlib.contextmanager
def with_weights(model, changed: Callable[[str, Any], Any]) -> Iterator[None]:
    """With what a function makes of each weight, by its name."""
    weights = dict(model.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    _put(weights, {name: changed(name, weight) for name, weight in before.items()})
    try:
        yield
    finally:
        _put(weights, before)


def _put(weights, values) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(values[name])
