"""What is changed and seen, in words of neither library: plain numpy.

`Change` and `Look` are what a case consists of. `ours` writes them as edits and
captures; `apply_change` is what they mean, one row and one layer at a time.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

# Axes of a site within one layer and one sequence; those in front of them are rows.
WIDTH, ONE = ("position", "width"), ("position", "one")
QUERIES = ("position", "kv_head", "group", "head_width")
KEYS = ("position", "kv_head", "head_width")
NEURONS = ("position", "neuron")
PAIRS = ("kv_head", "group", "position", "key")
AXES: dict[str, tuple[str, ...]] = {
    "embed": WIDTH, "pos_embed": WIDTH, "resid_pre": WIDTH, "attn_scale": ONE,
    "attn_in": WIDTH, "q": QUERIES, "k": KEYS, "v": KEYS,
    "q_scale": (*QUERIES[:-1], "one"), "k_scale": (*KEYS[:-1], "one"),
    "rot_q": QUERIES, "rot_k": KEYS, "scores": PAIRS, "pattern": PAIRS, "z": QUERIES,
    "head_out": (*QUERIES[:-1], "width"), "attn_out_scale": ONE, "attn_out": WIDTH,
    "resid_mid": WIDTH, "mlp_scale": ONE, "mlp_in": WIDTH, "mlp_gate": NEURONS,
    "mlp_pre": NEURONS, "mlp_post": NEURONS, "mlp_out_scale": ONE, "mlp_out": WIDTH,
    "resid_post": WIDTH, "final_resid": WIDTH, "final_scale": ONE, "final_norm": WIDTH,
    "logits": ("position", "vocabulary"),
}  # fmt: skip
WITHOUT_LAYER = (
    "embed", "pos_embed", "final_resid", "final_scale", "final_norm", "logits",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """A wish to see a part of a site; what is left out is all."""

    site: str
    layers: tuple[int, ...] | None = None
    positions: np.ndarray | None = None  # [#row, selected]
    units: np.ndarray | None = None  # [#row, selected]
    keys: np.ndarray | None = None  # [#row, selected]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A change of a part of a site; what is left out is all.

    `value` and `weight` are numbers, or `[#slot, #row, *site axes]`, each of size 1 or
    whole; along positions they run over the selected ones.
    """

    kind: str  # see `_new`
    site: str
    layers: tuple[int, ...] | None = None
    positions: np.ndarray | None = None  # [#row, selected]
    units: np.ndarray | None = None  # [#slot, #row, selected]
    keys: np.ndarray | None = None  # [#slot, #row, selected]
    # Of rotated keys and values: who reads the change, [query, kv_head, group].
    readers: np.ndarray | None = None
    weight: Any = 1.0
    value: Any = 0.0
    # Of projections: vectors along the last axis, and where they start from.
    basis: np.ndarray | None = None
    center: Any = 0.0
    # Of features: encoder, decoder, biases, threshold, which ones, target or factor.
    features: dict[str, Any] = dataclasses.field(default_factory=dict)
    # Of resampling: whose activation each row gets.
    from_rows: np.ndarray | None = None

    def slot(self, layer: int) -> int | None:
        """Which of the change's layers this one is; None: it is not changed."""
        if self.layers is None:
            return 0
        return self.layers.index(layer) if layer in self.layers else None


def apply_change(
    change: Change,
    x: np.ndarray,
    layer: int,
    rows: Sequence[int],
    clean: np.ndarray | None = None,
) -> np.ndarray:
    """Returns activation `[row, *site axes]` of a layer, changed.

    Args:
        rows: which rows of the batch these are.
        clean: the site in the same layer of the unchanged run, all rows of it.
    """
    slot = change.slot(layer)
    if slot is None:
        return x
    changed = (
        _change_row(change, one, slot, row, clean)
        for one, row in zip(x, rows, strict=True)
    )
    return np.stack(list(changed))


def _change_row(change: Change, x, slot: int, row: int, clean):
    """One sequence's site; what is selected behind its end is left out."""
    axis = AXES[change.site].index("position")
    length = x.shape[axis]
    places = np.arange(length)
    if change.positions is not None:
        places = change.positions[row % len(change.positions)]
    exists = np.flatnonzero(places < length)
    places = places[exists]
    here = np.take(x, places, axis=axis).astype(np.float64)

    def numbers(given):
        given = _part(given, slot, row)
        if np.ndim(given) and given.shape[axis] > 1:
            given = np.take(given, exists, axis=axis)
        if np.ndim(given) and change.site in ("scores", "pattern"):
            given = given[..., : x.shape[-1]]
        return np.broadcast_to(given, here.shape)

    weight = np.where(_selected(change, x.shape, here.shape, slot, row),
                      numbers(change.weight), 0)  # fmt: skip
    if change.kind == "resample":
        assert clean is not None and change.from_rows is not None
        value = np.take(clean[change.from_rows[row]], places, axis=axis)
    elif change.kind == "mean":
        assert clean is not None
        value = np.take(clean.mean(axis=0), places, axis=axis)
    else:
        value = numbers(change.value)
    with np.errstate(invalid="ignore"):
        new = np.where(weight == 0, here, _new(change, here, value, weight))
    out = np.moveaxis(x.copy(), axis, 0)
    for place, there in zip(places, np.moveaxis(new, axis, 0), strict=True):
        out[place] = there
    return np.moveaxis(out, 0, axis)


def _new(change: Change, x, value, weight):
    if change.kind == "add":
        return x + weight * value
    if change.kind == "scale":
        seen = np.isfinite(x)  # a key out of sight stays so
        return np.where(seen, np.where(seen, x, 0) * (1 + weight * (value - 1)), x)
    if change.kind in ("patch", "resample", "mean"):
        target = value
    elif change.kind == "project_onto":
        target = change.center + _inside(change.basis, x - change.center)
    elif change.kind == "project_out":
        target = x - _inside(change.basis, x - change.center)
    elif change.kind in ("set_features", "scale_features"):
        target = _with_features(x, change.kind, **change.features)
    elif change.kind == "tanh":
        target = np.tanh(x)
    elif change.kind == "reverse":
        axis = AXES[change.site].index("position")
        target = np.flip(x, axis)
    else:
        raise ValueError(f"no change is called {change.kind!r}.")
    mixed = x + weight * (target - x)
    return np.where(weight == 1, target, mixed)


def _inside(basis, x):
    """The part of x in the span of some vectors, independent or not."""
    return x @ np.linalg.pinv(basis, rcond=1e-5) @ basis


def _with_features(
    x, kind, *, encoder, decoder, encoder_bias, decoder_bias, threshold, chosen, number
):
    found = (x - decoder_bias) @ encoder + encoder_bias
    found = np.where(found > threshold, found, 0)
    target = found.copy()
    target[..., chosen] = (
        number if kind == "set_features" else number * found[..., chosen]
    )
    return x + (target - found) @ decoder


def _part(numbers, slot: int, row: int):
    """Of `[#slot, #row, …]` one slot's and row's."""
    if np.ndim(numbers) == 0:
        return numbers
    of_slot = numbers[slot % len(numbers)]
    return of_slot[row % len(of_slot)]


def _selected(change: Change, whole, here, slot: int, row: int):
    """Which numbers of the selected positions a change is about."""
    axes, chosen = AXES[change.site], np.ones(here, bool)
    for indices, names in (
        (change.units, ("kv_head", "group", "neuron")),
        (change.keys, ("key",)),
    ):
        if indices is None:
            continue
        named = set(_part(indices, slot, row).tolist())
        kept = [i for i, axis in enumerate(axes) if axis in names]
        for place in np.ndindex(*(here[i] for i in kept)):
            number = int(np.ravel_multi_index(place, [whole[i] for i in kept]))
            if number not in named:
                where: list[Any] = [slice(None)] * len(here)
                for axis, index in zip(kept, place, strict=True):
                    where[axis] = index
                chosen[tuple(where)] = False
    return chosen


def look_at(look: Look, x: np.ndarray) -> np.ndarray:
    """Returns what a wish shows of a site `[row, *site axes]` of one layer."""
    return np.stack([_look_at_row(look, row, number) for number, row in enumerate(x)])


def _look_at_row(look: Look, x, row: int):
    axes = list(AXES[look.site])
    if look.positions is not None:
        places = look.positions[row % len(look.positions)]
        x = np.take(x, places, axis=axes.index("position"))
    if look.keys is not None:
        x = np.take(x, look.keys[row % len(look.keys)], axis=axes.index("key"))
    if look.units is None:
        return x
    units = look.units[row % len(look.units)]
    if "neuron" in axes:
        return np.take(x, units, axis=axes.index("neuron"))
    first = axes.index("kv_head")
    if "group" not in axes:
        return np.take(x, units, axis=first)
    group = x.shape[first + 1]
    heads = [
        np.take(np.take(x, unit // group, axis=first), unit % group, axis=first)
        for unit in units
    ]
    return np.stack(heads, axis=first)
