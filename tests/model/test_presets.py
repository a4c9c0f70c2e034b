"""Presets have the published sizes; nothing is allocated."""

import math

import jax
import pytest

from mcq_jax.model import chinchilla, parameter_shapes


def _counts(size: str) -> tuple[int, int]:
    """All parameters, and those of the projections of relative positions."""
    config = chinchilla(size)
    shapes = parameter_shapes(config)
    one = shapes.layers[0]

    def count(tree) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))

    relative = config.layers * count(one["attention"]["relative"])
    return count((shapes.embed, shapes.unembed)) + config.layers * count(one), relative


@pytest.mark.parametrize(("size", "millions"), [("1b", 1018), ("7b", 6796)])
def test_chinchilla_has_the_published_number_of_parameters(size: str, millions: int):
    total, _ = _counts(size)
    assert round(total / 1e6) == millions


def test_the_largest_has_seventy_billion_with_its_relative_positions():
    total, relative = _counts("70b")
    assert round(total / 1e9, 1) == 70.1
    assert round((total - relative) / 1e9, 1) == 64.7


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="size is '13b'; give one of 1b, 7b, 70b"):
        chinchilla("13b")
