"""Weights kept as int8 with one scale per output channel: a quarter of float32.

They are a kind of leaf in `Parameters`; the functions of `transformer` turn them into
arrays on entry, one layer at a time, so nothing else knows of them.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Int8Weight:
    """A weight `values * scale`, symmetric about zero."""

    values: Int8[Array, "..."]
    # Of as many axes; those that the weight is summed over have size 1.
    scale: Float[Array, "..."]
    # The element type of the weight, e.g. "bfloat16".
    dtype: str = dataclasses.field(metadata={"static": True})


def dequantise(group: Any) -> Any:
    """Returns the parameters with arrays in place of int8 weights."""

    def one(leaf):
        if not isinstance(leaf, Int8Weight):
            return leaf
        return (leaf.values.astype(jnp.float32) * leaf.scale).astype(leaf.dtype)

    return jax.tree.map(one, group, is_leaf=lambda leaf: isinstance(leaf, Int8Weight))
