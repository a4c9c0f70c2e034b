"""Sources for `patch`: nothing, an average, another row, the clean run itself."""

from collections.abc import Mapping
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from mcq_jax.arguments import (
    as_array,
    as_integers,
    as_whole_numbers,
    check_kind,
    refuse_unknown,
)
from mcq_jax.interventions import selection
from mcq_jax.interventions.edits import Edit, Where, is_concrete, patch
from mcq_jax.interventions.selection import Indices
from mcq_jax.interventions.sites import Site


def from_rows(site: Site | str, activation: ArrayLike, rows: Indices) -> Array:
    """Returns a captured activation with its rows taken from others of the batch.

    As the source of a patch, row i of a batch gets what row `rows[i]` had.
    """
    array, axis = _captured(site, activation)
    chosen, count = as_whole_numbers(rows, "rows"), array.shape[axis]
    if chosen.ndim != 1:
        raise ValueError(f"rows have shape {chosen.shape}; give one for each row.")
    if is_concrete(chosen) and not np.isin(chosen, np.arange(count)).all():
        raise ValueError(
            f"rows {np.asarray(chosen).tolist()} of an activation of {site} with "
            f"{count}; give some of 0 to {count - 1}."
        )
    return jnp.take(array, chosen, axis=axis)


def zero_ablate(site: Site | str, **where: Unpack[Where]) -> Edit:
    """Returns the edit that sets a site to 0: off distribution, for contrast only."""
    return patch(site, 0.0, **where)


def mean_ablate(
    site: Site | str, activation: ArrayLike, **where: Unpack[Where]
) -> Edit:
    """Returns the edit that sets a site to its mean over the rows of a capture."""
    array, axis = _captured(site, activation)
    return patch(site, array.mean(axis, keepdims=True), **where)


def resample_ablate(
    site: Site | str,
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
    layers: Indices | None = None,
    positions: Indices | None = None,
    **unknown: Any,
) -> tuple[Edit, ...]:
    """Returns edits that hold every captured site at its captured (clean) values.

    With the heads and blocks behind a sender frozen, what is left is its direct effect.

    Args:
        activations: of all layers, as `forward` returns them; at all positions or, if
            captured at some, at those of `positions`.
        layers: the layers to hold; by default all of them.
    """
    refuse_unknown("freeze", unknown, ("layers", "positions"))
    check_kind(activations, Mapping, "activations", "give a dict by Site")
    edits = []
    for site, activation in activations.items():
        source, axis = _captured(site, activation)
        if layers is None or axis == 0:
            edits.append(patch(site, source, positions=positions))
            continue
        held = as_integers(layers, f"layers of {site} to freeze")
        missing = [layer for layer in held if not 0 <= layer < len(source)]
        if missing:
            raise ValueError(
                f"layers {missing} of {site} to freeze, with {len(source)} layers "
                "captured; capture all layers."
            )
        source = source[np.array(held, int)]
        edits.append(patch(site, source, layers=held, positions=positions))
    return tuple(edits)


def _captured(site: Site | str, activation: ArrayLike) -> tuple[Array, int]:
    """An activation as a capture returns it, and its row axis."""
    site, _ = selection.named(site)
    array = as_array(activation, f"an activation of {site}")
    axes = ("layer",) * site.per_layer + ("row", *site.axes)
    if array.ndim != len(axes):
        raise ValueError(
            f"an activation of {site} has shape {array.shape}; give it as it was "
            f"captured, with axes {axes}."
        )
    return array, axes.index("row")
