"""Lists of edits and captures, from what people write: one alone, names, sites."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcq_jax.arguments import check_kind, described
from mcq_jax.interventions.edits import Capture, Edit
from mcq_jax.interventions.sites import Site

# A site, any of its names (which may hold a layer), or a selection of it.
Wish = Capture | Site | str


def as_edits(edits: Any) -> tuple[Edit, ...]:
    """Returns edits as a tuple; one alone needs no list around it."""
    if isinstance(edits, Edit):
        return (edits,)
    if isinstance(edits, str | Mapping) or not hasattr(edits, "__iter__"):
        raise ValueError(f"{described(edits)} as edits; give a list of Edits, or one.")
    edits = tuple(edits)
    for edit in edits:
        advice = "give Edits (`patch` and its kin; unpack several by *)"
        check_kind(edit, Edit, "an edit", advice)
    return edits


def as_captures(capture: Wish | Sequence[Wish]) -> tuple[Capture, ...]:
    """Returns captures from sites, their names, or captures; one or several."""
    if isinstance(capture, Capture | Site | str):
        capture = (capture,)
    if isinstance(capture, type | Mapping) or not hasattr(capture, "__iter__"):
        raise ValueError(
            f"{described(capture)} as a capture; give Sites, names, or Captures."
        )
    wishes = [Capture.of(w) if isinstance(w, Site | str) else w for w in capture]
    for wish in wishes:
        check_kind(wish, Capture, "a capture", "give a Site, a name, or a Capture")
        _check_fields(wish)
    return tuple(wishes)


def _check_fields(wish: Capture) -> None:
    """Raises ValueError for a Capture of what only `Capture.of` reads."""
    advice = "`Capture.of` reads names, numbers and lists"
    check_kind(wish.site, Site, "the site of a Capture", advice)
    check_kind(wish.layers, (tuple, type(None)), "layers of a Capture", advice)
    for layer in wish.layers or ():
        check_kind(layer, int, "one of the layers of a Capture", advice)
    if wish.layers is not None and not wish.site.per_layer:
        raise ValueError(
            f"a capture of {wish.site} in layers {list(wish.layers)}; it is in none of "
            "them: leave layers out."
        )
    for name in ("positions", "units", "keys"):
        if not hasattr(getattr(wish, name), "ndim") and getattr(wish, name) is not None:
            raise ValueError(
                f"{described(getattr(wish, name))} as {name} of a Capture; {advice}."
            )
