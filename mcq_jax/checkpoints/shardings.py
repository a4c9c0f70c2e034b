"""Where each parameter is to lie: one jax sharding per leaf, from what a user gives."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from mcq_jax.model import ModelConfig, Parameters, parameter_shapes
from mcq_jax.parameter_table import Kind, parameter

# A tree of shardings (or a prefix of one: a sharding then holds for all leaves below
# it; None is jax's default device), or a function to one from the parameters as
# `jax.ShapeDtypeStruct`s.
Shardings = Any | Callable[[Parameters], Any]


def sharding_of_each(
    shardings: Shardings,
    config: ModelConfig,
    *,
    sizes: Sequence[int],
    dtype: np.dtype,
) -> Any:
    """Returns `Parameters` with a sharding (or None) in place of every array."""
    shapes = stacked_shapes(config, sizes=sizes, dtype=dtype)
    given = shardings(shapes) if callable(shardings) else shardings
    try:
        return jax.tree.map(
            lambda sharding, branch: jax.tree.map(lambda _: sharding, branch),
            given,
            shapes,
            is_leaf=lambda node: (
                node is None or isinstance(node, jax.sharding.Sharding)
            ),
        )
    except ValueError as error:
        raise ValueError(
            "The shardings do not have the structure of the parameters (Parameters of "
            f"embed, {len(sizes)} segments of layers, unembed): {error}"
        ) from error


def stacked_shapes(
    config: ModelConfig, *, sizes: Sequence[int], dtype: np.dtype
) -> Parameters:
    """Returns the parameters' shapes, in segments of the given sizes."""
    shapes = parameter_shapes(config)

    def typed(tree: Any, *axes: int) -> Any:
        def one(path, leaf):
            own = dtype_of(path[-1].key, dtype)
            return jax.ShapeDtypeStruct((*axes, *leaf.shape), own)

        return jax.tree.map_with_path(one, tree)

    return Parameters(
        embed=typed(shapes.embed),
        layers=tuple(typed(shapes.layers[0], size) for size in sizes),
        unembed=typed(shapes.unembed),
    )


def dtype_of(name: str, dtype: np.dtype) -> np.dtype:
    """Gains stay in float32: they are few, and 1 + w would lose the bits of w."""
    return np.dtype(np.float32) if parameter(name).kind is Kind.GAIN else dtype
