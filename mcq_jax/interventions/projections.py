"""Edits inside a subspace: keep only it, or all but it."""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from mcq_jax.arguments import as_array
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import selection
from mcq_jax.interventions.edits import Edit, Where, apply
from mcq_jax.interventions.sites import Site


def project_onto(
    site: Site | str,
    basis: ArrayLike,
    *,
    center: ArrayLike = 0.0,
    **where: Unpack[Where],
) -> Edit:
    """Returns the edit that keeps of a site only its part in the span of `basis`.

    Args:
        basis: vectors `[vector, width]` along the site's last axis, in any number, not
            necessarily orthonormal or independent: their span counts. Axes before these
            go with the site's own: `[kv_head, group, vector, head_width]` is a basis
            per head.
        center: what is left where nothing is kept, such as the mean; `[width]`, with
            the same axes before it.
    """
    check_directions(site)
    return apply(site, onto_basis, orthonormal(basis), center, **where)


def project_out(
    site: Site | str,
    basis: ArrayLike,
    *,
    center: ArrayLike = 0.0,
    **where: Unpack[Where],
) -> Edit:
    """Returns the edit that removes from a site its part in the span of `basis`.

    Arguments are those of `project_onto`; the two parts add up to x and the center.
    """
    check_directions(site)
    return apply(site, out_of_basis, orthonormal(basis), center, **where)


def check_directions(site: Site | str) -> None:
    """Refuses the one site whose activations have no parts along directions."""
    if selection.named(site)[0] is Site.SCORES:
        raise ValueError(
            f"a direction of {Site.SCORES}: scores of keys to come are -inf, which has "
            f"no part along any direction; change {Site.PATTERN}, or queries and keys."
        )


def orthonormal(basis: ArrayLike) -> Float[Array, "*axes vector width"]:
    """Returns orthonormal vectors with the same span, and zeros for what adds nothing.

    Gram-Schmidt; a vector of which less than `SMALLEST_SHARE` is left lies in the span
    of those before it. So the rank may be traced, and dependent vectors (such as
    centred class means) bring no direction of their own.
    """
    vectors = as_array(basis, "a basis", "give vectors [vector, width]").astype(float)
    if vectors.ndim < 2 or not vectors.size:
        raise ValueError(
            f"a basis of shape {vectors.shape}; give [vector, width], one or more."
        )
    one = vectors.ndim == 2
    flat = vectors.reshape(-1, *vectors.shape[-2:])
    found = jax.vmap(_gram_schmidt)(flat)
    return found[0] if one else found.reshape(vectors.shape)


def _gram_schmidt(vectors: Float[Array, "vector width"]) -> Array:
    # Squares of very long or short vectors would leave float32; a span has no lengths.
    largest = jax.lax.stop_gradient(jnp.abs(vectors).max(-1, keepdims=True))
    vectors = vectors / jnp.where(largest == 0, 1.0, largest)

    def add(number: int, basis: Array) -> Array:
        vector = vectors[number]
        left = orthogonal_part(vector, basis)
        is_new = (left @ left) > SMALLEST_SHARE**2 * (vector @ vector)
        square = jnp.where(is_new, left @ left, 1.0)  # no root of 0, whose slope is inf
        return basis.at[number].set(jnp.where(is_new, left / jnp.sqrt(square), 0.0))

    return jax.lax.fori_loop(0, len(vectors), add, jnp.zeros_like(vectors))


# Of a vector's length: with less of it left, a vector is in the span of others.
SMALLEST_SHARE = 1e-5


def orthogonal_part(vector: AnyArray, basis: AnyArray) -> Any:
    """Returns what of a vector is orthogonal to orthonormal rows (or rows of zeros).

    One step of Gram-Schmidt, for numpy arrays and jax's. Made orthogonal twice: what
    rounding leaves of the span the first time is as large as a short remainder.
    """
    for _ in range(2):
        vector = vector - (basis @ vector) @ basis
    return vector


def onto_basis(x: Array, basis: Array, center: Array) -> Array:
    """The part of x, seen from the center, in an orthonormal basis (in float32)."""
    center = jnp.expand_dims(center, tuple(range(x.ndim - center.ndim)))
    basis = jnp.expand_dims(basis, tuple(range(x.ndim + 1 - basis.ndim)))
    away = x.astype(jnp.float32) - center
    inside = jnp.einsum("...w,...vw->...v", away, basis)
    return center + jnp.einsum("...v,...vw->...w", inside, basis)


def out_of_basis(x: Array, basis: Array, center: Array) -> Array:
    """What `onto_basis` leaves over, seen from the center."""
    center = jnp.expand_dims(center, tuple(range(x.ndim - center.ndim)))
    return x.astype(jnp.float32) - onto_basis(x, basis, center) + center
