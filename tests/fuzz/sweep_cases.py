"""Sweeps: random plans over random prompts, against one reference run per prompt.

The oracle says of each row which numbers of which site it replaces by what, and never
sees a plan of ours.
"""

import dataclasses

import numpy as np

from mcq_jax import interventions, passes, sweeps
from mcq_jax.interventions import Node, Site
from mcq_jax.model import sites_of
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.sweeps import Ablation, Direction, Sources, outcomes
from tests.fuzz.changes import AXES, Change, apply_change
from tests.fuzz.comparing import Pairs
from tests.fuzz.drawing import Random, pick
from tests.fuzz.reference import Watched

METRICS = {
    "logits": outcomes.patched_logits,
    "normaliser": outcomes.patched_log_normaliser,
    "net": outcomes.net_effect,
    "loss": outcomes.loss_effect,
    "kl": outcomes.kl_effect,
}


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some numbers of one layer that a row replaces, read elsewhere in the source."""

    site: str
    layer: int
    # By prompt: offsets from the end, there and in the source; -1 is the answer's.
    offsets: np.ndarray  # [#prompt, selected]
    units: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """What one row of a plan does: patches, or a change at offsets from the end."""

    pieces: tuple[Piece, ...] = ()
    change: Change | None = None


def run(pair, watched: Watched, shape: Random, data: Random, folder):
    """One sweep, compared answer by answer."""
    config = pair.ours.config
    count = pick(shape, 2, 3)
    shortest, common = pick(shape, 3, 5), pick(shape, 0, 0, 0, 66)
    lengths = data.integers(shortest, 12, size=count)
    name = str(shape.choice(list(_PLANS)))
    if name == "patterns":
        lengths[:] = lengths[0]
    plan, rows = _PLANS[name](config, lengths, shortest, shape, data)
    start = data.integers(config.vocabulary, size=common)
    asked = [
        _prompt(config, start, length, i, data) for i, length in enumerate(lengths)
    ]
    sources, direction = _sources(name, count, shape, data)
    full_passes = pick(shape, True, False, False, False, False)
    said = (
        f"{name}, lengths {[len(p.ids) for p in asked]}, {sources}, {direction}, "
        f"full passes {full_passes}, {len(rows)} rows\n{plan}"
    )
    found = sweeps.sweep(
        pair.ours.parameters, asked, plan, sources, config=config, metrics=METRICS,
        direction=direction, prompts_at_once=pick(shape, 1, 2, 4),
        rows_at_once=pick(shape, 3, 100), by_full_passes=full_passes,
    )  # fmt: skip

    def pairs() -> Pairs:
        expected = _expected(watched, asked, rows, sources, direction)
        for metric, values in expected.items():
            yield metric, found.values[metric], values

    return said, pairs


def _prompt(config, start, length: int, index: int, data: Random) -> TokenisedPrompt:
    choices = 3
    own = data.integers(config.vocabulary, size=length)
    return TokenisedPrompt(
        ids=np.concatenate([start, own]).astype(np.int32),
        spans=(),
        label_positions=np.full(choices, -1),
        label_ids=np.full(choices, -1),
        answer_ids=data.permutation(config.vocabulary)[:choices].astype(np.int32),
        gold=int(data.integers(choices)),
        question=f"question {index}",
    )


def _sources(name: str, count: int, shape: Random, data: Random):
    kind = pick(shape, "prompts", "prompts", "prompts", "ablation")
    if name == "edits":
        return Ablation.ZERO, Direction.NOISE
    if kind == "ablation" and name != "patterns":
        return Ablation(pick(data, Ablation.ZERO, Ablation.MEAN)), Direction.NOISE
    kinds = pick(shape, ("one",), ("one", "two"))
    away = data.integers(1, count, size=(count, len(kinds)))
    index = (np.arange(count)[:, None] + away) % count
    return Sources(kinds=kinds, index=index), pick(shape, *Direction)


# Each returns our plan, and what its rows do.


def _nodes(config, lengths, shortest, shape: Random, data: Random):
    plan = sweeps.every_node(config)
    nodes = [
        Node(layer, head)
        for layer in range(config.layers)
        for head in (*range(config.heads), None)
    ]
    return plan, [Row((_node(node),)) for node in nodes]


def _sets(config, lengths, shortest, shape: Random, data: Random):
    heads = (*range(config.heads), None)
    everything = [Node(i, head) for i in range(config.layers) for head in heads]
    sets = []
    for _ in range(3):
        order = data.permutation(len(everything))[: data.integers(1, 4)]
        sets.append([everything[i] for i in order])
    plan = sweeps.node_sets(sets, config)
    return plan, [Row(tuple(map(_node, nodes))) for nodes in sets]


def _node(node: Node) -> Piece:
    offsets = np.array([[-1]])
    if node.head is None:
        return Piece("mlp_out", node.layer, offsets)
    return Piece("z", node.layer, offsets, (node.head,))


def _units(config, lengths, shortest, shape: Random, data: Random):
    present = [site for site in sites_of(config) if site.unit and site.per_layer]
    left_out = (Site.SCORES, Site.PATTERN, Site.ROT_Q)
    site = pick(shape, *(s for s in present if s not in left_out))
    count = _count(config, site)
    group = pick(shape, *(n for n in (1, 2, 3, count) if count % n == 0))
    offsets = -1 - data.permutation(shortest)[: pick(shape, 1, 2)]
    plan = sweeps.every_unit(site, config, group=group, offsets=offsets.tolist())
    rows = [
        Row((_piece(site, layer, offsets[None], range(first, first + group)),))
        for layer in range(config.layers)
        for first in range(0, count, group)
    ]
    return plan, rows


def _patterns(config, lengths, shortest, shape: Random, data: Random):
    plan = sweeps.every_unit(Site.PATTERN, config)
    rows = [
        Row((_piece(Site.PATTERN, layer, np.array([[-1]]), (head,)),))
        for layer in range(config.layers)
        for head in range(config.heads)
    ]
    return plan, rows


def _count(config, site: Site) -> int:
    if site.unit == "neuron":
        return config.neurons
    return config.heads if "group" in site.axes else config.kv_heads


def _piece(site: Site, layer: int, offsets, units=None) -> Piece:
    units = None if units is None else tuple(int(unit) for unit in units)
    return Piece(site.label, layer, np.asarray(offsets), units)


def _any_site(config, shape: Random) -> Site:
    left_out = (Site.SCORES, Site.PATTERN, Site.ROT_Q)
    present = [s for s in sites_of(config) if s.per_layer and s not in left_out]
    return pick(shape, *present)


def _layers(config, lengths, shortest, shape: Random, data: Random):
    site = _any_site(config, shape)
    offsets = -1 - data.permutation(shortest)[: pick(shape, 1, 2, 3)]
    plan = sweeps.every_layer(site, config, offsets=offsets.tolist())
    layers = range(config.layers)
    return plan, [Row((_piece(site, layer, offsets[None]),)) for layer in layers]


def _positions(config, lengths, shortest, shape: Random, data: Random):
    site, tokens = _any_site(config, shape), pick(shape, 1, 2, 3)
    layers = pick(shape, None, [config.layers - 1])
    plan = sweeps.every_position(site, config, tokens=tokens, layers=layers)
    rows = [
        Row((_piece(site, layer, [[offset]]),))
        for layer in layers or range(config.layers)
        for offset in range(-tokens, 0)
    ]
    return plan, rows


def _spans(config, lengths, shortest, shape: Random, data: Random):
    """Stretches that stand elsewhere, counted from the end, in every prompt."""
    site, names = _any_site(config, shape), ("first", "second")[: pick(shape, 1, 2)]
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
        Row((_piece(site, layer, offsets[name]),))
        for layer in range(config.layers)
        for name in names
    ]
    return plan, rows


def _free(config, lengths, shortest, shape: Random, data: Random):
    """Rows of one's own: any layers, places and units."""
    site, count = _any_site(config, shape), 4
    layers = data.integers(config.layers, size=count)
    selected = pick(shape, 1, 2)
    by_prompt = pick(shape, 1, len(lengths))
    offsets = np.stack(
        [
            np.stack([-1 - data.permutation(shortest)[:selected] for _ in range(count)])
            for _ in range(by_prompt)
        ]
    )
    units = None
    if site.unit and pick(shape, True, False):
        total = _count(config, site)
        chosen = min(total, pick(shape, 1, 2))
        units = np.stack([data.permutation(total)[:chosen] for _ in range(count)])
    plan = passes.Patches(site=site, layers=layers, offsets=offsets, units=units)
    rows = [
        Row(
            (
                _piece(
                    site, int(layer), offsets[:, i], None if units is None else units[i]
                ),
            )
        )
        for i, layer in enumerate(layers)
    ]
    return plan, rows


def _edits(config, lengths, shortest, shape: Random, data: Random):
    """Rows that add, scale or project, each in a layer of its own."""
    site, count = _any_site(config, shape), 4
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


_PLANS = {
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


def _expected(watched, asked, rows: list[Row], sources, direction) -> dict:
    """Every metric `[prompt, source, row, …]`, from one reference run per prompt."""
    clean = [_clean(watched, prompt, rows) for prompt in asked]
    by_prompt = []
    for p in range(len(asked)):
        by_source = []
        for number in range(len(sources.kinds)):
            by_source.append(
                _one(watched, asked, clean, rows, sources, direction, p, number)
            )
        by_prompt.append({k: np.stack([d[k] for d in by_source]) for k in METRICS})
    return {k: np.stack([d[k] for d in by_prompt]) for k in METRICS}


def _one(watched, asked, clean, rows, sources, direction, p: int, number: int) -> dict:
    target = asked[p]
    if isinstance(sources, Ablation):
        run_on, read_from = p, None
    else:
        source = int(sources.index[p, number])
        run_on, read_from = (p, source) if direction is Direction.NOISE else (source, p)

    def value(piece: Piece, layer: int, selected: int):
        """`[selected, …]`: what stands at the selected places in the source."""
        if read_from is not None:
            return _at(clean[read_from][1], piece, read_from)
        own = np.stack([_at(held, piece, run_on) for _, held in clean])
        return own.mean(0) if sources is Ablation.MEAN else 0 * own[0]

    def visit(site: str, layer: int, x: np.ndarray) -> np.ndarray:
        x = x.copy()
        for index, row in enumerate(rows):
            for piece in row.pieces:
                if (piece.site, piece.layer) == (site, layer):
                    new = value(piece, layer, 0)
                    x[index] = _put(x[index], piece, run_on, new)
            change = row.change
            if change is not None and change.site == site and layer in change.layers:
                axis = AXES[site].index("position")
                there = change.positions + x.shape[1 + axis]
                there = dataclasses.replace(change, positions=there)
                x[index] = apply_change(there, x[[index]], layer, [0])[0]
        return x

    tokens = np.repeat(asked[run_on].ids[None], len(rows), axis=0)
    logits = watched.run(tokens, visit, wanted=_wanted(rows))[:, -1].astype(float)
    before = clean[run_on][0]
    return {
        "logits": logits[:, target.answer_ids],
        "normaliser": _normaliser(logits),
        "net": _net(before, target) - _net(logits, target),
        "loss": _loss(logits, target) - _loss(before, target),
        "kl": _kl(before, logits, target),
    }


def _wanted(rows: list[Row]) -> frozenset[str]:
    pieces = {piece.site for row in rows for piece in row.pieces}
    return frozenset(pieces | {row.change.site for row in rows if row.change})


def _clean(watched: Watched, prompt: TokenisedPrompt, rows: list[Row]):
    """Logits at the end, and what the sites hold, of the prompt as it is."""
    held: dict = {}

    def visit(site, layer, x):
        held[site, layer] = x[0]
        return x

    logits = watched.run(prompt.ids[None], visit, wanted=_wanted(rows))
    return logits[0, -1].astype(float), held


def _places(piece: Piece, prompt: int, length: int) -> np.ndarray:
    return length + piece.offsets[prompt % len(piece.offsets)]


def _at(held: dict, piece: Piece, prompt: int) -> np.ndarray:
    axis = AXES[piece.site].index("position")
    there = np.moveaxis(held[piece.site, piece.layer], axis, 0)
    return there[_places(piece, prompt, len(there))]


def _put(x: np.ndarray, piece: Piece, prompt: int, new: np.ndarray) -> np.ndarray:
    """One sequence's site with other numbers at some places, in some units."""
    axes = list(AXES[piece.site])
    axis = axes.index("position")
    out = np.moveaxis(x, axis, 0).copy()
    for number, place in enumerate(_places(piece, prompt, len(out))):
        if piece.units is None:
            out[place] = new[number]
            continue
        for unit in piece.units:
            where = (unit,)
            if "group" in axes:
                where = divmod(unit, x.shape[axes.index("group")])
            out[(place, *where)] = new[number][where]
    return np.moveaxis(out, 0, axis)


def _normaliser(logits):
    top = logits.max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(logits - top).sum(-1))


def _net(logits, prompt: TokenisedPrompt):
    answers = logits[..., prompt.answer_ids]
    others = np.delete(answers, prompt.gold, axis=-1)
    return answers[..., prompt.gold] - others.mean(-1)


def _loss(logits, prompt: TokenisedPrompt):
    return _normaliser(logits) - logits[..., prompt.answer_ids[prompt.gold]]


def _kl(before, after, prompt: TokenisedPrompt):
    one, other = (
        a[..., prompt.answer_ids] - _normaliser(a[..., prompt.answer_ids])[..., None]
        for a in (before, after)
    )
    return (np.exp(one) * (one - other)).sum(-1)
