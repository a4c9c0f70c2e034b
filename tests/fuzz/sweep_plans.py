"""Random plans of sweeps, and in words of neither library what their rows do."""

import dataclasses

import numpy as np

from mcq_jax import interventions, passes, sweeps
from mcq_jax.interventions import Node, Site
from mcq_jax.model import sites_of
from tests.fuzz.changes import AXES, Change
from tests.fuzz.drawing import Random, pick


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some numbers of one layer that a row replaces, read elsewhere in the source."""

    site: str
    layer: int
    # By prompt: offsets from the end, there and in the source; -1 is the answer's.
    offsets: np.ndarray  # [#prompt, selected]
    units: tuple[int, ...] | None = None
    # Where the source is read, if not at the same offsets.
    read_at: np.ndarray | None = None
    # Of rotated keys and values: which query heads read the change, [kv_head, group].
    readers: np.ndarray | None = None
    # Whether these read it from the answer position alone.
    is_read_last: bool = False
    # Whether it is what the patched prompt itself holds, unpatched.
    is_own: bool = False
    # How much of the way to the source is gone, `[unit, last, last]`; None: all of it.
    through: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """What one row of a plan does: patches, or a change at offsets from the end."""

    pieces: tuple[Piece, ...] = ()
    change: Change | None = None


# Each returns our plan, and what its rows do.


def _nodes(config, lengths, shortest, shape: Random, data: Random):
    plan = sweeps.every_node(config)
    nodes = [
        Node(layer, head)
        for layer in range(config.layers)
        for head in (*range(config.heads), None)
    ]
    return plan, [Row((node_piece(node),)) for node in nodes]


def _sets(config, lengths, shortest, shape: Random, data: Random):
    heads = (*range(config.heads), None)
    everything = [Node(i, head) for i in range(config.layers) for head in heads]
    sets = []
    for _ in range(3):
        order = data.permutation(len(everything))[: data.integers(1, 4)]
        sets.append([everything[i] for i in order])
    plan = sweeps.node_sets(sets, config)
    return plan, [Row(tuple(map(node_piece, nodes))) for nodes in sets]


def node_piece(node: Node) -> Piece:
    offsets = np.array([[-1]])
    if node.head is None:
        return Piece("mlp_out", node.layer, offsets)
    return Piece("z", node.layer, offsets, (node.head,))


def _units(config, lengths, shortest, shape: Random, data: Random):
    present = [site for site in sites_of(config) if site.unit and site.per_layer]
    left_out = (Site.SCORES, Site.PATTERN, Site.ROT_Q)
    site = pick(shape, *(s for s in present if s not in left_out))
    count = units_of(config, site)
    group = pick(shape, *(n for n in (1, 2, 3, count) if count % n == 0))
    offsets = -1 - data.permutation(shortest)[: pick(shape, 1, 2)]
    plan = sweeps.every_unit(site, config, group=group, offsets=offsets.tolist())
    rows = [
        Row((piece_of(site, layer, offsets[None], range(first, first + group)),))
        for layer in range(config.layers)
        for first in range(0, count, group)
    ]
    return plan, rows


def _patterns(config, lengths, shortest, shape: Random, data: Random):
    plan = sweeps.every_unit(Site.PATTERN, config)
    rows = [
        Row((piece_of(Site.PATTERN, layer, np.array([[-1]]), (head,)),))
        for layer in range(config.layers)
        for head in range(config.heads)
    ]
    return plan, rows


def units_of(config, site: Site) -> int:
    if site.unit == "neuron":
        return config.neurons
    return config.heads if "group" in site.axes else config.kv_heads


def piece_of(site: Site, layer: int, offsets, units=None) -> Piece:
    units = None if units is None else tuple(int(unit) for unit in units)
    return Piece(site.label, layer, np.asarray(offsets), units)


def any_site(config, shape: Random) -> Site:
    left_out = (Site.SCORES, Site.PATTERN, Site.ROT_Q)
    present = [s for s in sites_of(config) if s.per_layer and s not in left_out]
    return pick(shape, *present)


def _layers(config, lengths, shortest, shape: Random, data: Random):
    site = any_site(config, shape)
    offsets = -1 - data.permutation(shortest)[: pick(shape, 1, 2, 3)]
    plan = sweeps.every_layer(site, config, offsets=offsets.tolist())
    layers = range(config.layers)
    return plan, [Row((piece_of(site, layer, offsets[None]),)) for layer in layers]


def _positions(config, lengths, shortest, shape: Random, data: Random):
    site, tokens = any_site(config, shape), pick(shape, 1, 2, 3)
    layers = pick(shape, None, [config.layers - 1])
    plan = sweeps.every_position(site, config, tokens=tokens, layers=layers)
    rows = [
        Row((piece_of(site, layer, [[offset]]),))
        for layer in layers or range(config.layers)
        for offset in range(-tokens, 0)
    ]
    return plan, rows


def _spans(config, lengths, shortest, shape: Random, data: Random):
    """Stretches that stand elsewhere, counted from the end, in every prompt."""
    site, names = any_site(config, shape), ("first", "second")[: pick(shape, 1, 2)]
    offsets = {}
    for name in names:
        width = pick(shape, 1, 2)
        places = [-1 - data.permutation(shortest)[:width] for _ in lengths]
        offsets[name] = np.stack(places)
    return offsets, site, names


def _span_plan(config, lengths, shortest, shape: Random, data: Random, common=0):
    offsets, site, names = _spans(config, lengths, shortest, shape, data)
    # Only distances from the end count; `lengths` here are without a common beginning.
    spans = {name: offsets[name] + lengths[:, None] for name in names}
    plan = sweeps.every_span(site, spans, lengths, config)
    rows = [
        Row((piece_of(site, layer, offsets[name]),))
        for layer in range(config.layers)
        for name in names
    ]
    return plan, rows


def _free(config, lengths, shortest, shape: Random, data: Random):
    """Rows of one's own: any layers, places and units."""
    site, count = any_site(config, shape), 4
    layers = data.integers(config.layers, size=count)
    selected = pick(shape, 1, 2)
    by_prompt = pick(shape, 1, len(lengths))
    offsets = np.stack(
        [
            np.stack([-1 - data.permutation(shortest)[:selected] for _ in range(count)])
            for _ in range(by_prompt)
        ]
    )
    read_at, units, readers = offsets, None, None
    if by_prompt == 1 and pick(shape, True, False):
        read_at = -1 - data.integers(shortest, size=offsets.shape)
    if site.unit and pick(shape, True, False):
        total = units_of(config, site)
        chosen = min(total, pick(shape, 1, 2))
        units = np.stack([data.permutation(total)[:chosen] for _ in range(count)])
    if site in (Site.V, Site.ROT_K) and pick(shape, True, False):
        readers = data.random((count, config.kv_heads, config.group)) < 0.5
    plan = passes.Patches(
        site=site,
        layers=layers,
        offsets=offsets,
        source_offsets=None if read_at is offsets else read_at[None],
        units=units,
        readers=readers,
    )
    rows = []
    for i, layer in enumerate(layers):
        own = None if units is None else units[i]
        piece = piece_of(site, int(layer), offsets[:, i], own)
        who = None if readers is None else readers[i]
        piece = dataclasses.replace(piece, read_at=read_at[:, i], readers=who)
        rows.append(Row((piece,)))
    return plan, rows


def _edits(config, lengths, shortest, shape: Random, data: Random):
    """Rows that add, scale or project, each in a layer of its own."""
    site, count = any_site(config, shape), 4
    layers = data.integers(config.layers, size=count)
    axes = AXES[site.label]
    selected = pick(shape, 1, 2)
    offsets = np.stack(
        [
            -1 - data.permutation(shortest)[:selected]
            for _ in range(pick(shape, 1, count))
        ]
    )
    sizes = {"position": selected, "one": 1, "neuron": config.neurons}
    full = [
        sizes.get(a) or getattr(config, a + ("s" if a == "kv_head" else ""))
        for a in axes
    ]
    value = data.normal(
        size=[1, pick(shape, 1, count), *(pick(shape, 1, n) for n in full)]
    )
    kind = pick(shape, "add", "scale", "project_out")
    if kind == "project_out" and axes[-1] in ("one", "neuron"):
        kind = "add"
    weight = data.choice([0.5, 1.0], size=[1, count, *(1 for _ in axes)])
    where = {"positions": offsets, "weight": weight}
    basis = data.normal(size=(2, full[-1]))
    if kind == "project_out":
        edit = interventions.project_out(site, basis, **where)
    else:
        make = {"add": interventions.add, "scale": interventions.scale}[kind]
        edit = make(site, value, **where)
    plan = passes.EditRows(edit=edit, layers=layers)
    rows = [
        Row(
            change=Change(
                kind=kind, site=site.label, layers=(int(layer),),
                positions=offsets[[i % len(offsets)]], weight=weight[:, [i]],
                value=value[:, [i % value.shape[1]]], basis=basis,
            )
        )
        for i, layer in enumerate(layers)
    ]  # fmt: skip
    return plan, rows


PLANS = {
    "nodes": _nodes,
    "sets": _sets,
    "units": _units,
    "patterns": _patterns,
    "layers": _layers,
    "positions": _positions,
    "spans": _span_plan,
    "patches": _free,
    "edits": _edits,
}
