"""What changes and looks come to in the reference model."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tests.fuzz.changes import AXES, WITHOUT_LAYER, Change, Look, apply_change, look_at
from tests.fuzz.reference import Watched

# What a site held, by layer.
Held = dict[str, dict[int, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Seen:
    """Logits `[row, position, vocabulary]`; sites `[layer, row, …]`, or `[row, …]`.

    NaN behind the end of a sequence.
    """

    logits: np.ndarray
    sites: dict[str, np.ndarray]


def run(
    watched: Watched,
    tokens: np.ndarray,
    lengths: np.ndarray,
    changes: Sequence[Change] = (),
    looks: Sequence[Look] = (),
    *,
    without_padding: bool = False,
) -> Seen:
    """Runs every sequence by itself, without its padding, where that says it all.

    Where keys are edited or seen, or rows are mixed, padding has a place in what is
    given and found: then it is run as well, unless told otherwise.
    """
    names = {thing.site for thing in (*changes, *looks)}
    mixes = any(change.kind in ("mean", "resample") for change in changes)
    has_keys = any("key" in AXES[name] for name in names)
    if mixes or has_keys and not without_padding:
        clean: Held = {}
        if mixes:
            sites = {change.site for change in changes}
            clean = _run(watched, tokens, range(len(tokens)), (), sites, {})[1]
        logits, held = _run(
            watched, tokens, range(len(tokens)), changes, {k.site for k in looks}, clean
        )
    else:
        parts = []
        for row, length in enumerate(lengths):
            one = tokens[[row], :length]
            parts.append(
                _run(watched, one, [row], changes, {k.site for k in looks}, {})
            )
        logits = _together([part[0] for part in parts], AXES["logits"], tokens.shape[1])
        held = {
            site: {
                layer: _together(
                    [part[1][site][layer] for part in parts],
                    AXES[site],
                    tokens.shape[1],
                )
                for layer in by_layer
            }
            for site, by_layer in parts[0][1].items()
        }
    return Seen(logits, {look.site: _shown(look, held[look.site]) for look in looks})


def _run(watched: Watched, tokens, rows, changes, sites, clean: Held):
    """Returns logits, and what the sites held."""
    held: Held = {site: {} for site in sites}

    def visit(site: str, layer: int, x: np.ndarray) -> np.ndarray:
        for change in changes:
            if change.site == site and change.readers is None:
                own = clean.get(site, {}).get(layer)
                x = apply_change(change, x, layer, rows, own)
        if site in held:
            held[site][layer] = x
        return x

    def versions(site: str, layer: int, x: np.ndarray):
        return [
            (apply_change(change, x, layer, rows), change.readers[None, : x.shape[1]])
            for change in changes
            if change.site == site
            and change.readers is not None
            and change.slot(layer) is not None
        ]

    wanted = frozenset(sites) | {change.site for change in changes}
    logits = watched.run(tokens, visit, wanted=wanted, versions=versions)
    return logits, held


def _together(parts: list[np.ndarray], axes, length: int) -> np.ndarray:
    """Rows of different length as one array, NaN behind the end."""
    padded = []
    for part in parts:
        behind = [
            (0, length - size if axis in ("position", "key") else 0)
            for axis, size in zip(axes, part.shape[1:], strict=True)
        ]
        part = part.astype(float)
        padded.append(np.pad(part, [(0, 0), *behind], constant_values=np.nan))
    return np.concatenate(padded)


def _shown(look: Look, by_layer: dict[int, np.ndarray]) -> np.ndarray:
    if look.site in WITHOUT_LAYER:
        return look_at(look, by_layer[0])
    layers = sorted(by_layer) if look.layers is None else look.layers
    return np.stack([look_at(look, by_layer[layer]) for layer in layers])


def blank_padding(site: str, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Puts NaN at the positions behind the end of each row."""
    values = values if site in WITHOUT_LAYER else np.moveaxis(values, 0, 1)
    axis = AXES[site].index("position")
    # Selected heads stand on one axis.
    is_behind_heads = axis and values.ndim - 1 - (site not in WITHOUT_LAYER) < len(
        AXES[site]
    )
    axis -= bool(is_behind_heads)
    for row, length in enumerate(lengths):
        along = np.moveaxis(values[row], axis + (site not in WITHOUT_LAYER), 0)
        along[length:] = np.nan
    return values if site in WITHOUT_LAYER else np.moveaxis(values, 0, 1)
