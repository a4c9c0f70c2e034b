"""How an activation and an edit's value become one: exact at weight 0, everywhere
with the right slope.

Selecting x itself at weight 0 keeps a value that is not finite harmless there. A bare
selection would also kill the derivative with respect to the weight, which at 0 is
attribution patching; so each operation states its own derivative.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array


@jax.custom_jvp
def interpolate(x: Array, source: Array, weight: Array) -> Array:
    """x at weight 0 and the source at weight 1, bit for bit; linear between."""
    line = x * (1 - weight) + source * weight
    return jnp.where(weight == 0, x, jnp.where(weight == 1, source, line))


def _interpolate_jvp(primals, tangents):
    x, source, weight = primals
    # A score of -inf (a key out of sight) stays -inf for every weight below 1.
    difference = jnp.where(jnp.isfinite(x), source - x, 0)
    slopes = (1 - weight, weight, difference)
    return _with_tangent(interpolate(x, source, weight), tangents, slopes)


interpolate.defjvp(_interpolate_jvp, symbolic_zeros=True)


@jax.custom_jvp
def shift(x: Array, direction: Array, weight: Array) -> Array:
    """x moved by `weight * direction`."""
    return jnp.where(weight == 0, x, x + weight * direction)


def _shift_jvp(primals, tangents):
    x, direction, weight = primals
    slopes = (jnp.ones_like(x), weight, direction)
    return _with_tangent(shift(x, direction, weight), tangents, slopes)


shift.defjvp(_shift_jvp, symbolic_zeros=True)


@jax.custom_jvp
def rescale(x: Array, factor: Array, weight: Array) -> Array:
    """x at weight 0, `factor * x` at weight 1; a score of -inf stays out of sight."""
    finite = jnp.isfinite(x)
    scaled = jnp.where(finite, x, 0) * (1 - weight + weight * factor)
    return jnp.where(finite & (weight != 0), scaled, x)


def _rescale_jvp(primals, tangents):
    x, factor, weight = primals
    finite = jnp.isfinite(x)
    visible = jnp.where(finite, x, 0)
    of_x = jnp.where(finite & (weight != 0), 1 - weight + weight * factor, 1)
    slopes = (of_x, weight * visible, (factor - 1) * visible)
    return _with_tangent(rescale(x, factor, weight), tangents, slopes)


rescale.defjvp(_rescale_jvp, symbolic_zeros=True)


def transform(
    function: Callable[..., Array], arguments: Sequence[Array], x: Array, weight: Array
) -> Array:
    """x at weight 0, `function(x, *arguments)` at weight 1; linear between."""
    idle = (weight == 0).all()
    try:
        result = jnp.asarray(function(x, *(_harmless(a, idle) for a in arguments)))
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{a.dtype}{list(a.shape)}" for a in arguments)
        name = getattr(function, "__name__", function)
        raise ValueError(
            f"{name} of x, {x.dtype}{list(x.shape)}, and arguments {given or '(none)'} "
            f"failed; mend it or give others: {error}"
        ) from error
    fits = result.shape == x.shape and jnp.issubdtype(result.dtype, jnp.floating)
    if not fits:
        raise ValueError(
            f"{function.__qualname__} made {result.dtype}{list(result.shape)} of "
            f"{x.dtype}{list(x.shape)}; return floats of the same shape."
        )
    return interpolate(x, result.astype(x.dtype), weight)


def _harmless(argument: Array, idle: Array) -> Array:
    """Zeros for what is not finite while the edit does nothing.

    Selecting the result is not enough: backwards, 0 times NaN would still be NaN.
    """
    if not jnp.issubdtype(argument.dtype, jnp.floating):
        return argument
    return jnp.where(idle & ~jnp.isfinite(argument), 0, argument)


def _with_tangent(primal, tangents, slopes):
    total = jnp.zeros_like(primal)
    for tangent, slope in zip(tangents, slopes, strict=True):
        if not isinstance(tangent, SymbolicZero):
            total = total + tangent * slope
    return primal, total
