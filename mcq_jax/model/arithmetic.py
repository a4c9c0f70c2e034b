"""The numeric rules that the whole forward pass keeps, in one place."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mcq_jax.model.config import Precision


def contract(
    equation: str,
    *operands: Array,
    out: jnp.dtype | None = None,
    precision: Precision = Precision.HIGHEST,
) -> Array:
    """Returns an einsum accumulated in float32 and rounded once to `out`.

    `out` defaults to the type of the first operand. With the highest precision float32
    means float32 (not TF32 or bfloat16 passes); the forward pass asks for its config's.
    """
    result = jnp.einsum(
        equation,
        *operands,
        precision=jax.lax.Precision[precision.name],
        preferred_element_type=jnp.float32,
    )
    return result.astype(out or operands[0].dtype)


def widened(weights, dtype: jnp.dtype):
    """Returns weights, no narrower than the activations that they meet.

    So a model's weights can be run with activations of higher precision.
    """

    def widen(weight: Array) -> Array:
        is_narrower = jnp.issubdtype(dtype, jnp.floating) and (
            weight.dtype.itemsize < jnp.dtype(dtype).itemsize
        )
        return weight.astype(dtype) if is_narrower else weight

    return jax.tree.map(widen, weights)


def soft_cap(x: Array, cap: float | None) -> Array:
    """Returns x squashed between -cap and cap, nearly unchanged near 0 (Gemma 2)."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def scaled(x: Array, factor: float) -> Array:
    """Returns x times a factor that is first rounded to x's type."""
    return x if factor == 1 else x * jnp.asarray(factor, x.dtype)


def rounded(product: Array) -> Array:
    """Returns a product, rounded before anything is added to it.

    Compilers for CPUs make one operation of a product and a sum, rounded once, where
    nothing stands between them: a program with edits there would have other bits.
    """
    return jnp.where(product == product, product, jnp.nan)
