"""The two numeric rules that the whole forward pass keeps, in one place."""

import jax
import jax.numpy as jnp
from jaxtyping import Array


def contract(equation: str, *operands: Array, out: jnp.dtype | None = None) -> Array:
    """Returns an einsum accumulated in float32 and rounded once to `out`.

    `out` defaults to the type of the first operand. Precision is the highest the
    device has, so float32 means float32 (not TF32 or bfloat16 passes).
    """
    result = jnp.einsum(
        equation,
        *operands,
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    return result.astype(out or operands[0].dtype)
