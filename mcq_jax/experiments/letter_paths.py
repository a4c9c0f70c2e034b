"""Direct paths from nodes into the queries and label keys of correct-letter heads.

What a node writes is taken from another order of the options, as these heads alone read
it. Heads that match sharply are saturated: a single path moves their score and not the
answer, so both are read, and sets of nodes beside single ones.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mcq_jax import metrics, passes
from mcq_jax.experiments.aligned_pairs import Pairs
from mcq_jax.experiments.route_rows import mask_of
from mcq_jax.interventions import Capture, Node, Site, all_nodes, patch
from mcq_jax.metrics import statistics
from mcq_jax.model import read_by
from mcq_jax.paths import read_with, written_by
from mcq_jax.prompts import batch_of
from mcq_jax.results import PathFound

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

Heads = Sequence[tuple[int, int]]
QUERIES, KEYS = "queries", "label keys"
WAYS = (QUERIES, KEYS)
# Sizes of the sets of best senders.
_SIZES = (1, 2, 3, 5, 8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Senders:
    """Named sets of nodes in front of the last of some heads."""

    nodes: tuple[Node, ...]
    names: tuple[str, ...]
    sets: Bool[np.ndarray, "set node"]


def senders_before(heads: Heads, lab: "Lab") -> tuple[Node, ...]:
    """Returns every node in front of the last of these heads."""
    config, last = lab.checkpoint.config, max(layer for layer, _ in heads)
    return tuple(n for n in all_nodes(config.layers, config.heads) if n.layer < last)


def single_paths(lab: "Lab", pairs: Pairs, heads: Heads) -> Float[np.ndarray, "2 node"]:
    """Returns what every node alone takes from the score contrast, by way.

    On the fitting questions.
    """
    nodes = senders_before(heads, lab)
    alone = Senders(
        nodes=nodes, names=tuple(map(str, nodes)), sets=np.eye(len(nodes), dtype=bool)
    )
    table = measure_paths(lab, pairs.take(pairs.choosing), heads, alone)
    return (table["contrast"][:, None, None] - table["contrasts"]).mean(axis=0)


def path_sets(
    lab: "Lab", heads: Heads, alone: Float[np.ndarray, "2 node"], gatherers: set[Node]
) -> Senders:
    """Returns the sets that are tested: the best senders, groups, and random ones."""
    nodes = senders_before(heads, lab)
    named: dict[str, np.ndarray] = {}
    generator = np.random.default_rng(lab.config.seed)
    for way, scores in zip(WAYS, alone, strict=True):
        order = np.argsort(-np.abs(scores), kind="stable")
        for size in (s for s in _SIZES if s <= len(nodes)):
            which = np.isin(np.arange(len(nodes)), order[:size])
            named[f"best {size} for {way}"] = which
        for draw in range(3):
            size = min(_SIZES[-1], len(nodes) // 2)
            drawn = generator.choice(order[size:], min(size, len(nodes) - size), False)
            named[f"random for {way} {draw}"] = np.isin(np.arange(len(nodes)), drawn)
    named["gatherers"] = np.array([node in gatherers for node in nodes])
    named["all heads"] = np.array([node.head is not None for node in nodes])
    named["all feed-forward blocks"] = ~named["all heads"]
    named["all nodes"] = np.ones(len(nodes), bool)
    named = {name: which for name, which in named.items() if which.any()}
    return Senders(nodes=nodes, names=tuple(named), sets=np.stack(list(named.values())))


def measure_paths(
    lab: "Lab", pairs: Pairs, heads: Heads, senders: Senders
) -> dict[str, np.ndarray]:
    """The table `letter_paths`: contrasts and net logits of every pair and set."""
    made_of = {**pairs.identity, "heads": list(heads), "senders": senders}
    names = ("net", "source_net", "contrast", "nets", "contrasts")
    table = lab.table("letter_paths", made_of).complete(
        pairs.chunks,
        lambda chunk: _of_chunk(lab, pairs, chunk, heads, senders),
        lambda chunk, found: {"pair": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("patching paths"),
    )
    order = np.argsort(table["pair"])
    return {name: table[name][order] for name in names}


def _of_chunk(lab: "Lab", pairs: Pairs, chunk, heads: Heads, senders: Senders) -> tuple:
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    count, gold = len(chunk), pairs.gold[chunk]
    batch = batch_of(pairs.asked(chunk)[: 2 * count])
    length = int(batch.lengths[0])
    suffix = length - int(batch.label_positions.min())
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, suffix=suffix,
        sites=(Site.Z, Site.MLP_OUT),
    )  # fmt: skip
    changed = {
        site: start.activations[site][:, count:] - start.activations[site][:, :count]
        for site in (Site.Z, Site.MLP_OUT)
    }
    changes = written_by(parameters, senders.nodes, changed, config)
    own, labels = np.arange(count), batch.label_positions[:count]
    answer = np.full((count, 1), length - 1)
    of = np.repeat(own, len(senders.sets))
    mask = mask_of(heads, config)  # [layer, kv_head, group]
    layers = sorted({layer for layer, _ in heads})

    def values(site: Site, positions: np.ndarray) -> Array:
        """The site in every layer of the heads, `[slot, row, position, …]`."""
        there = (own[:, None], jnp.asarray(positions - (length - suffix)))
        found = [
            read_with(
                parameters, layer, site, start.resid_pre[layer, :count][*there],
                changes[:, *there],
                senders.sets & np.array([n.layer < layer for n in senders.nodes]),
                positions, config=config,
            )
            for layer in layers
        ]  # fmt: skip
        return jnp.stack([a.reshape(-1, *a.shape[2:]) for a in found])

    weight = mask[layers].astype(np.float32)
    queries = patch(
        Site.Q, values(Site.Q, answer), layers=layers, positions=answer[of],
        weight=weight[:, None, None, ..., None],
    )  # fmt: skip
    width = start.blocks[0].keys.shape[2]
    readers = np.arange(width)[:, None, None] == length - 1
    keys = read_by(
        patch(
            Site.ROT_K, values(Site.ROT_K, labels), layers=layers, positions=labels[of]
        ),
        mask[layers][:, None, None] & readers[None, None],
    )
    nets, contrasts = zip(
        *(
            _read(lab, start, edits, of, batch, gold, heads, layers)
            for edits in ((queries,), (keys,))
        ),
        strict=True,
    )
    net, contrast = _read(lab, start, (), own, batch, gold, heads, layers)
    answers = batch.answer_ids[:count]
    source = _nets(lab, start.final[count:, None], answers, gold)[:, 0]

    def by_set(found: tuple[Array, ...]) -> Array:
        return jnp.stack([a.reshape(count, -1) for a in found], axis=1)

    return net, source, contrast, by_set(nets), by_set(contrasts)


def _read(
    lab: "Lab", start: passes.Prefill, edits, of, batch, gold, heads: Heads, layers
) -> tuple[Array, Array]:
    """Net logits, and the heads' mean score contrast, of every row."""
    config, labels = lab.checkpoint.config, batch.label_positions[of]
    rows = passes.resume_edited(
        lab.checkpoint.parameters, start, edits, of=of, config=config,
        first_layer=layers[0],
        capture=Capture(
            site=Site.SCORES, layers=tuple(layers),
            positions=jnp.asarray(batch.lengths[of][:, None] - 1),
            keys=jnp.asarray(labels),
        ),
    )  # fmt: skip
    scores = rows.activations[Site.SCORES]  # [layer, row, kv_head, group, 1, choice]
    scores = scores.reshape(len(layers), len(of), config.heads, -1)
    over_rows = jnp.vectorize(metrics.net, signature="(c),()->()")
    contrast = jnp.stack([
        over_rows(scores[layers.index(layer), :, head], gold[of])
        for layer, head in heads
    ])  # fmt: skip
    answers = batch.answer_ids[of]
    net = _nets(lab, rows.final[:, None], answers, gold[of])[:, 0]
    return net, contrast.mean(axis=0)


def _nets(lab: "Lab", final: Array, answers: np.ndarray, gold: np.ndarray) -> Array:
    """Net logits `[prompt, row]` of residuals `[prompt, row, width]`."""
    logits, _ = passes.read_answers(
        lab.checkpoint.parameters.unembedding, final, answers,
        config=lab.checkpoint.config, full_vocabulary=False,
    )  # fmt: skip
    return jnp.vectorize(metrics.net, signature="(c),()->()")(logits, gold[:, None])


def describe_paths(
    table: dict[str, np.ndarray], pairs: Pairs, senders: Senders, *, seed: int
) -> tuple[tuple[PathFound, ...], dict[str, statistics.Interval]]:
    """Returns shares by set and way, and what all nodes do to the score contrast."""
    question = pairs.question
    lost = table["contrast"][:, None, None] - table["contrasts"]  # [pair, way, set]
    effect = table["net"] - table["source_net"]
    moved = table["net"][:, None, None] - table["nets"]
    whole = lost[:, :, senders.names.index("all nodes")]
    can_net = statistics.interval(effect, question, seed=seed).excludes_zero()
    found, contrast = [], {}
    for at, way in enumerate(WAYS):
        contrast[way] = statistics.interval(whole[:, at], question, seed=seed)
        groups: dict[str, list[int]] = {}
        for number, name in enumerate(senders.names):
            title, for_way, _ = name.partition(" for ")
            if for_way and not name.removeprefix(f"{title} for ").startswith(way):
                continue
            groups.setdefault(title, []).append(number)
        for title, members in groups.items():
            part, move = (a[:, at, members].mean(axis=1) for a in (lost, moved))
            found.append(
                PathFound(
                    senders=_listed(title, senders, members[0]),
                    size=int(senders.sets[members[0]].sum()),
                    into=way,
                    score=statistics.ratio_interval(
                        part, whole[:, at], question, seed=seed
                    )
                    if contrast[way].excludes_zero()
                    else None,
                    net=statistics.ratio_interval(move, effect, question, seed=seed)
                    if can_net
                    else None,
                )
            )
    return tuple(found), contrast


def _listed(title: str, senders: Senders, number: int) -> str:
    """Best senders by their names."""
    if not title.startswith("best") and title != "gatherers":
        return title
    chosen = np.flatnonzero(senders.sets[number])
    return f"{title}: {' '.join(str(senders.nodes[i]) for i in chosen)}"
