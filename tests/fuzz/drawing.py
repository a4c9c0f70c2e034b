"""Random changes and looks: `shape` draws their structure, `data` their numbers.

The same structure with other numbers is one compiled program for us, so a case costs
little where several share a structure.
"""

import dataclasses

import numpy as np

from mcq_jax.model import ModelConfig, sites_of
from tests.fuzz.changes import AXES, WITHOUT_LAYER, Change, Look

Random = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Space:
    """What changes and looks are drawn from."""

    config: ModelConfig
    lengths: np.ndarray  # of each row
    positions: int
    # Of every row, its first token that may be named.
    firsts: np.ndarray
    # Whether "all positions" may be meant, and sites without a layer.
    is_whole: bool = True

    @property
    def sites(self) -> list[str]:
        found = [site.label for site in sites_of(self.config)]
        if not self.is_whole:
            found = [site for site in found if site not in WITHOUT_LAYER]
        return found

    def size(self, axis: str) -> int:
        sizes = {
            "position": self.positions, "key": self.positions, "one": 1,
            "neuron": self.config.neurons, "kv_head": self.config.kv_heads,
        }  # fmt: skip
        return sizes[axis] if axis in sizes else getattr(self.config, axis)

    def units(self, site: str) -> int:
        """How many heads (of keys and values: kv heads) or neurons a site has."""
        axes = AXES[site]
        named = [a for a in axes if a in ("kv_head", "group", "neuron")]
        return int(np.prod([self.size(axis) for axis in named])) if named else 0


def draw_changes(
    space: Space, shape: Random, data: Random, *, at_one_site: bool = False
) -> list[Change]:
    """Returns one to three changes.

    Args:
        at_one_site: two or three of one site; behind the first mostly such as build on
            what they find, since patches that meet are refused.
    """
    if at_one_site:
        sites = [str(shape.choice(space.sites))] * pick(shape, 2, 3)
        builds_on = [False] + [pick(shape, True, True, True, False) for _ in sites[1:]]
    else:
        sites = [None] * pick(shape, 1, 1, 2, 3)
        builds_on = [False] * len(sites)
    changes = [
        _draw_change(space, shape, data, site, builds)
        for site, builds in zip(sites, builds_on, strict=True)
    ]
    with_readers = [change for change in changes if change.readers is not None]
    return [c for c in changes if c.readers is None] + with_readers[:1]


def draw_looks(space: Space, shape: Random, data: Random) -> list[Look]:
    count = pick(shape, 1, 2, 3)
    sites = shape.choice(space.sites, size=count, replace=False)
    return [_draw_look(space, str(site), shape, data) for site in sites]


def _draw_look(space: Space, site: str, shape: Random, data: Random) -> Look:
    rows, units = len(space.lengths), space.units(site)
    return Look(
        site=site,
        layers=None if site in WITHOUT_LAYER else _layers(space, shape),
        positions=_positions(space, shape, data),
        units=_indices(shape, data, units, (pick(shape, 1, rows),)) if units else None,
        keys=_keys(space, site, shape, data, (pick(shape, 1, rows),)),
    )


def _draw_change(
    space: Space, shape: Random, data: Random, site: str | None, builds_on: bool
) -> Change:
    site = site or str(shape.choice(space.sites))
    axes, rows = AXES[site], len(space.lengths)
    layers = None if site in WITHOUT_LAYER else _layers(space, shape)
    slots = 1 if layers is None else len(layers)
    positions = _positions(space, shape, data)
    replaces = ("patch", "mean", "resample") if builds_on else ()
    kinds = [kind for kind in _kinds(space, site) if kind not in replaces]
    kind = str(shape.choice(kinds))
    if kind in ("mean", "resample"):
        if layers is None and site not in WITHOUT_LAYER:
            layers = tuple(range(space.config.layers))
        positions = None if positions is None else positions[:1]
    units = space.units(site)
    in_front = (pick(shape, 1, slots), pick(shape, 1, rows))
    parts = {
        "positions": positions,
        "units": _indices(shape, data, units, in_front) if units else None,
        "keys": _keys(space, site, shape, data, (1, pick(shape, 1, rows))),
        "weight": _weight(space, site, slots, positions, shape, data),
    }
    selected = space.positions if positions is None else positions.shape[1]
    if kind in ("patch", "add", "scale"):
        parts["value"] = _value(space, site, kind, slots, selected, shape, data)
        if site in ("v", "rot_k") and pick(shape, True, False):
            readers = (space.positions, space.config.kv_heads, space.config.group)
            parts["readers"] = data.random(readers) < 0.5
    if kind.startswith("project"):
        width = space.size(axes[-1])
        vectors = pick(shape, 1, 2, 3)
        basis = data.normal(size=(vectors, width))
        if vectors == 3 and data.random() < 0.5:  # dependent
            basis[2] = basis[0] - 2 * basis[1]
        parts |= {"basis": basis, "center": pick(shape, 0.0, data.normal(size=width))}
    if kind.endswith("features"):
        parts["features"] = _features(space.size(axes[-1]), shape, data)
    if kind == "resample":
        parts["from_rows"] = data.integers(rows, size=rows)
    return Change(kind=kind, site=site, layers=layers, **parts)


def _kinds(space: Space, site: str) -> list[str]:
    kinds = ["patch", "add", "scale"] * 2
    if site == "scores":
        return kinds
    if space.is_whole:
        kinds += ["mean", "resample"]
    if site == "pattern":
        return [*kinds, "tanh"] if space.is_whole else kinds
    kinds += ["tanh"]
    if "kv_head" not in AXES[site] and not space.is_whole:
        return kinds
    if AXES[site][-1] not in ("one", "neuron", "vocabulary"):
        kinds += ["project_onto", "project_out", "set_features", "scale_features"]
    return kinds


def _layers(space: Space, shape: Random) -> tuple[int, ...] | None:
    layers = space.config.layers
    if pick(shape, True, False, False):
        return None
    count = pick(shape, 1, 1, 2, layers)
    return tuple(int(i) for i in shape.permutation(layers)[:count])


def _positions(space: Space, shape: Random, data: Random) -> np.ndarray | None:
    """None, the same for all rows, or others in each."""
    room = int((space.lengths - space.firsts).min())
    if space.is_whole and pick(shape, True, False):
        return None
    count = min(room, pick(shape, 1, 2, 4))
    if pick(shape, True, False) and space.firsts.max() < space.lengths.min():
        there = np.arange(space.firsts.max(), space.lengths.min())
        return data.permutation(there)[None, : min(count, len(there))]
    return np.stack(
        [
            data.permutation(np.arange(first, length))[:count]
            for first, length in zip(space.firsts, space.lengths, strict=True)
        ]
    )


def _keys(space: Space, site: str, shape: Random, data: Random, in_front):
    if "key" not in AXES[site] or pick(shape, True, False):
        return None
    return _indices(shape, data, int(space.lengths.min()), in_front, always=True)


def _indices(shape: Random, data: Random, count: int, in_front, *, always=False):
    """Some of `count` things, without a repetition; None is all."""
    if not always and pick(shape, True, False):
        return None
    chosen = min(count, pick(shape, 1, 2, 3))
    found = [data.permutation(count)[:chosen] for _ in range(int(np.prod(in_front)))]
    return np.stack(found).reshape(*in_front, chosen)


def _weight(space, site, slots, positions, shape: Random, data: Random):
    kind = pick(shape, "one", "one", "one", "number", "array")
    if kind == "one":
        return 1.0
    if kind == "number":
        return float(data.choice([0.0, 0.5, -1.0, 1.5]))
    sizes = _sizes(space, site, slots, positions)
    return data.choice([0.0, 0.5, 1.0], size=[pick(shape, 1, n) for n in sizes])


def _sizes(space: Space, site: str, slots: int, positions) -> list[int]:
    sizes = [slots, len(space.lengths), *(space.size(axis) for axis in AXES[site])]
    if positions is not None:
        sizes[2 + AXES[site].index("position")] = positions.shape[1]
    return sizes


def _value(space, site, kind, slots, selected, shape: Random, data: Random):
    """A number, or an array of which any axis may have size 1."""
    form = pick(shape, "number", "whole", "some", "some")
    if form == "number":
        return float(data.choice([0.0, 1.0, -0.7, 2.0]))
    sizes = [slots, len(space.lengths), *(space.size(axis) for axis in AXES[site])]
    sizes[2 + AXES[site].index("position")] = selected
    if form == "some":
        sizes = [pick(shape, 1, size) for size in sizes]
    value = data.normal(size=sizes)
    if site.endswith("scale") and kind == "patch":
        return np.abs(value)  # as scales are
    return value


def _features(width: int, shape: Random, data: Random) -> dict:
    count = pick(shape, 4, 7)
    return {
        "encoder": data.normal(size=(width, count)),
        "decoder": data.normal(size=(count, width)) / width**0.5,
        "encoder_bias": data.normal(size=count),
        "decoder_bias": data.normal(size=width),
        "threshold": np.abs(data.normal(size=count)) * pick(shape, 0, 1),
        "chosen": data.permutation(count)[: pick(shape, 1, 2)],
        "number": float(data.choice([0.0, 2.0, -1.0])),
    }


def pick(generator: Random, *choices):
    return choices[generator.integers(len(choices))]
