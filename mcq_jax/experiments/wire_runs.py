"""Aligned pairs run with some wires drawn, in blocks of rows that share programs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mcq_jax import metrics, passes
from mcq_jax.experiments.aligned_pairs import TOKEN_KINDS, Pairs, token_kinds
from mcq_jax.interventions import Edge
from mcq_jax.paths import WIRED_SITES, Wiring, run_wired
from mcq_jax.prompts import TokenBatch, batch_of
from mcq_jax.sweeps import Direction

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# Heads of rows that run at once, each a row to the layer function.
_AT_ONCE = 2048
Rows = Bool[np.ndarray, "row wire"]


def measure_sets(
    lab: "Lab", pairs: Pairs, wiring: Wiring, drawn: Rows
) -> dict[str, np.ndarray]:
    """The table `drawn_circuit`: net logits of every pair and set of wires, both ways.

    Denoised: the source's run, in which the wires carry the prompt's. Noised: the
    prompt's run, in which they carry the source's.
    """
    made_of = {**pairs.identity, "wiring": _named(wiring), "drawn": drawn}
    nothing = np.zeros_like(drawn)
    return _measure(
        lab, pairs, wiring, "drawn_circuit", made_of, len(drawn),
        lambda rows: (drawn[rows], nothing[rows]),
    )  # fmt: skip


def measure_each(lab: "Lab", pairs: Pairs, wiring: Wiring) -> dict[str, np.ndarray]:
    """The table `single_wires`: the same of each wire alone, all behind following."""
    made_of = {**pairs.identity, "wiring": _named(wiring)}
    count = len(wiring.wires)
    follows = np.array([isinstance(wire, Edge) for wire in wiring.wires])

    def rows_of(rows: np.ndarray) -> tuple[Rows, Rows]:
        brings = rows[:, None] == np.arange(count)
        return np.broadcast_to(follows, brings.shape), brings

    return _measure(lab, pairs, wiring, "single_wires", made_of, count, rows_of)


def _named(wiring: Wiring) -> list[str]:
    return [*map(str, wiring.nodes), *wiring.tokens]


def _measure(
    lab: "Lab",
    pairs: Pairs,
    wiring: Wiring,
    name: str,
    made_of: dict,
    count: int,
    rows_of: Callable[[np.ndarray], tuple[Rows, Rows]],
) -> dict[str, np.ndarray]:
    names = ("net", "source_net", "denoised", "noised")
    table = lab.table(name, made_of).complete(
        pairs.chunks,
        lambda chunk: _of_chunk(lab, pairs, chunk, wiring, count, rows_of),
        lambda chunk, found: {"pair": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("running circuits edge by edge"),
    )
    order = np.argsort(table["pair"])
    return {column: table[column][order] for column in names}


def _of_chunk(lab: "Lab", pairs: Pairs, chunk, wiring: Wiring, count, rows_of) -> tuple:
    pair_count = len(chunk)
    asked = pairs.asked(chunk)[: 2 * pair_count]
    batch = batch_of(asked)
    start = passes.prefill(
        lab.checkpoint.parameters, batch.ids, batch.lengths,
        config=lab.checkpoint.config, sites=WIRED_SITES,
    )  # fmt: skip
    kinds = np.stack([token_kinds(prompt) for prompt in asked[:pair_count]])
    heads = max(1, sum(node.head is not None for node in wiring.nodes))
    widest = max(
        sum(n.layer == layer and n.head is not None for n in wiring.nodes)
        for layer in range(lab.checkpoint.config.layers)
    )
    at_once = max(1, min(count, _AT_ONCE // (pair_count * max(1, min(widest, heads)))))
    found: dict[Direction, list[Array]] = {one: [] for one in Direction}
    for first in range(0, count, at_once):
        rows = np.minimum(first + np.arange(at_once), count - 1)
        for direction in Direction:
            nets = _nets_of(
                lab, start, batch, wiring, kinds, *rows_of(rows), direction=direction,
                gold=pairs.gold[chunk],
            )  # fmt: skip
            found[direction].append(nets[:, : count - first])
    own = _nets(lab, start.final[:, None], batch, pairs.gold[chunk])[..., 0]
    return (
        own[:pair_count],
        own[pair_count:],
        jnp.concatenate(found[Direction.DENOISE], axis=1),
        jnp.concatenate(found[Direction.NOISE], axis=1),
    )


def _nets_of(
    lab: "Lab", start, batch: TokenBatch, wiring, kinds, drawn, brings, *, direction,
    gold,
) -> Float[Array, "pair row"]:  # fmt: skip
    own = np.arange(len(gold))
    base, other = own, len(gold) + own
    if direction is Direction.DENOISE:
        base, other = other, base
    run = run_wired(
        lab.checkpoint.parameters, start, wiring, drawn, base=base, other=other,
        kinds=kinds, config=lab.checkpoint.config, brings=brings,
    )  # fmt: skip
    return _nets(lab, run, batch, gold)


def _nets(lab: "Lab", final: Array, batch: TokenBatch, gold: np.ndarray) -> Array:
    """Net logits `[prompt, row]` at the gold of the pairs' own prompts."""
    answers = np.resize(
        batch.answer_ids[: len(gold)], (len(final), batch.answer_ids.shape[1])
    )
    logits, _ = passes.read_answers(
        lab.checkpoint.parameters.unembedding, final, answers,
        config=lab.checkpoint.config, full_vocabulary=False,
    )  # fmt: skip
    golds = np.resize(gold, len(final))[:, None]
    return jnp.vectorize(metrics.net, signature="(c),()->()")(logits, golds)


def wiring_of(nodes) -> Wiring:
    """Returns the wiring of some nodes and all kinds of tokens."""
    return Wiring(tuple(nodes), TOKEN_KINDS)
