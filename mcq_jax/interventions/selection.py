"""Selectors: from what a person writes to the index arrays of an edit."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int

from mcq_jax.arguments import as_whole_numbers, described
from mcq_jax.interventions.sites import Site

# The forms that index arrays have, by their number of axes.
_FORMS = ("[selected]", "[row, selected]", "[slot, row, selected]")
# Whole numbers as people write them: one, a list, lists by row or slot, an array.
Indices = (
    ArrayLike
    | Sequence[int]
    | Sequence[Sequence[int]]
    | Sequence[Sequence[Sequence[int]]]
)


def resolve(
    site: Site | str, layers: Indices | None
) -> tuple[Site, Int[Array, " slot"] | None]:
    """Returns a site and the layers as an array; None are all of them."""
    site, layers = named(site, layers)
    if layers is None:
        return site, None
    return site, indices(f"layers of an edit of {site}", layers, 1, may_be_empty=True)


def named(
    site: Site | str, layers: Indices | None = None
) -> tuple[Site, Indices | None]:
    """Returns a site and the layers; a name such as TransformerLens's holds both."""
    layer = None
    if isinstance(site, str):
        name, (site, layer) = site, Site.parse(site)
        if layer is not None and layers is not None:
            raise ValueError(
                f"{name!r} is in layer {layer} already, and layers are {layers}; say "
                "it once."
            )
    if not isinstance(site, Site):
        raise ValueError(f"{described(site)} as a site; give a Site or a site's name.")
    return site, layers if layer is None else (layer,)


def units(
    what: str, site: Site, heads: Indices | None, neurons: Indices | None, slots: int
) -> Int[Array, "slot row selected"] | None:
    """Returns the selected heads or neurons, whichever the site has."""
    chosen = None
    for name, given in (("head", heads), ("neuron", neurons)):
        if given is None:
            continue
        if site.unit != name:
            has = f"{site.unit}s" if site.unit else "neither heads nor neurons"
            raise ValueError(f"{name}s of {site}, which has {has}: leave them out.")
        chosen = _per_slot(f"{name}s of {what}", given, slots)
    return chosen


def keys(
    what: str, site: Site, given: Indices, slots: int
) -> Int[Array, "slot row selected"]:
    """Returns the selected keys of attention's scores or pattern."""
    if not site.key_axes:
        raise ValueError(
            f"keys of {site}, which has none; only {Site.SCORES} and {Site.PATTERN} "
            "have a key for every position that is looked at."
        )
    return _per_slot(f"keys of {what}", given, slots)


def indices(
    what: str, given: Indices, rank: int, *, may_be_empty=False
) -> Int[Array, "..."]:
    """Returns whole numbers with `rank` axes; axes that are missing come first."""
    array = as_whole_numbers(given, what)
    if array.size == 0 and not may_be_empty:
        raise ValueError(f"{what} are empty: it would change nothing. Name one.")
    if array.ndim > rank:
        forms = " or ".join(_FORMS[:rank])
        raise ValueError(f"{what} have shape {array.shape}; give {forms}.")
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


def _per_slot(what: str, given: Indices, slots: int) -> Array:
    array = indices(what, given, rank=3)
    if array.shape[0] not in (1, slots):
        raise ValueError(
            f"{what} have shape {array.shape}; give {' or '.join(_FORMS)} with {slots} "
            "slots, one per layer."
        )
    return jnp.broadcast_to(array, (slots, *array.shape[1:]))
