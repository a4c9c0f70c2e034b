"""Sources for `patch`: nothing, an average, another row, the clean run itself."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from mcq_jax.interventions.edits import Edit, Where, patch
from mcq_jax.interventions.selection import Indices
from mcq_jax.interventions.sites import Site


def from_rows(site: Site, activation: ArrayLike, rows: Indices) -> Array:
    """Returns a captured activation with its rows taken from others of the batch.

    As the source of a patch, row i of a batch gets what row `rows[i]` had.
    """
    return jnp.take(jnp.asarray(activation), jnp.asarray(rows), axis=_row_axis(site))


def zero_ablate(site: Site | str, **where: Unpack[Where]) -> Edit:
    """Returns the edit that sets a site to 0: off distribution, for contrast only."""
    return patch(site, 0.0, **where)


def mean_ablate(site: Site, activation: ArrayLike, **where: Unpack[Where]) -> Edit:
    """Returns the edit that sets a site to its mean over the rows of a capture."""
    mean = jnp.asarray(activation).mean(_row_axis(site), keepdims=True)
    return patch(site, mean, **where)


def resample_ablate(
    site: Site,
    activation: ArrayLike,
    rows: Indices,
    **where: Unpack[Where],
) -> Edit:
    """Returns the edit that gives each row what another row had: on distribution.

    Args:
        activation: the site as captured on the same batch, or another.
        rows: for each row the one that it gets its activation from.
    """
    return patch(site, from_rows(site, activation, rows), **where)


def freeze(
    activations: Mapping[Site, Array],
    *,
    layers: Sequence[int] | None = None,
    positions: Indices | None = None,
) -> tuple[Edit, ...]:
    """Returns edits that hold every captured site at its captured (clean) values.

    With the heads and blocks behind a sender frozen, what is left is its direct effect.

    Args:
        activations: of all layers, as `forward` returns them; at all positions or, if
            captured at some, at those of `positions`.
        layers: the layers to hold; by default all that were captured.
    """
    edits = []
    for site, activation in activations.items():
        if not site.per_layer:
            edits.append(patch(site, activation, positions=positions))
            continue
        held = range(len(activation)) if layers is None else list(layers)
        missing = [layer for layer in held if not 0 <= layer < len(activation)]
        if missing:
            raise ValueError(
                f"layers {missing} of {site} to freeze, with {len(activation)} layers "
                "captured; capture all layers."
            )
        source = activation[jnp.asarray(held)]
        edits.append(patch(site, source, layers=held, positions=positions))
    return tuple(edits)


def _row_axis(site: Site) -> int:
    return 1 if site.per_layer else 0
