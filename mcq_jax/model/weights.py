"""How the parts of the model ask Haiku for their weights."""

import haiku as hk
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike


def matrix(name: str, *shape: int) -> Array:
    """Returns a weight matrix `[…, width]`: in or out, the residual's axis is last."""
    return hk.get_parameter(name, shape, init=hk.initializers.RandomNormal(0.05))


def gain(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Returns what a norm multiplies by."""
    return hk.get_parameter(name, shape, dtype, init=jnp.ones)


def bias(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Returns what is added to every token's numbers alike."""
    return hk.get_parameter(name, shape, dtype, init=jnp.zeros)
