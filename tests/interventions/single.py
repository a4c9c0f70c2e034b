"""Edits on one activation, without a model: quick, and no compiled layer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mcq_jax.interventions import Edit, Site
from mcq_jax.interventions.tap import apply_edit

SIZES = {"position": 4, "key": 6, "kv_head": 2, "group": 3, "one": 1}
OTHER_SIZE = 5


def random(*shape: int, seed: int = 0, dtype="float32") -> Array:
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.dtype(dtype))


def activation(site: Site, *, seed: int = 0, dtype="float32") -> Array:
    sizes = [SIZES.get(axis, OTHER_SIZE) for axis in site.axes]
    return random(*sizes, seed=seed, dtype=dtype)


def one_row(edit: Edit, row: int = 0) -> Edit:
    """The edit as a layer sees it, where rows are vmapped away."""

    def pick(path, leaf):
        name = path[-1].name
        if name == "layers":
            return leaf
        rows = leaf if name == "positions" else leaf.swapaxes(0, 1)
        return rows[min(row, len(rows) - 1)]

    return jax.tree.map_with_path(pick, edit)


def applied(edit: Edit, x: Array, *, layer: int = 0, row: int = 0) -> Array:
    return apply_edit(one_row(edit, row), x, jnp.int32(layer))


def with_weight(edit: Edit, weight) -> Edit:
    return dataclasses.replace(edit, weight=jnp.full_like(edit.weight, weight))


def with_values(edit: Edit, bad: float) -> Edit:
    """The same edit with `bad` in everything that is not an index or a weight."""
    values = (edit.value, edit.arguments)
    value, arguments = jax.tree.map(lambda a: jnp.full_like(a, bad), values)
    return dataclasses.replace(edit, value=value, arguments=arguments)
