"""One task's class-mean subspaces of its correct-letter heads, kept on another.

A subspace is a set of directions: they come from the source task's fitting half, and
what stands in for the rest, the center, from the target's. Read on the target's other
half, between rank 0 (all those heads at their mean together) and intact.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mcq_jax import metrics, passes
from mcq_jax.experiments.head_bases import (
    Bases,
    Views,
    centred_as,
    fitted,
    views_of,
)
from mcq_jax.experiments.head_classes import LETTER_CLASSES, classes_of
from mcq_jax.interventions import Node
from mcq_jax.passes import Part
from mcq_jax.prompts import batch_of
from mcq_jax.results import SubspaceTransferred

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

OWN, OTHER, RANDOM = "own", "other task", "random"
PARTS = {
    "queries": (Part.QUERY,),
    "keys": (Part.KEYS,),
    "queries and keys": (Part.QUERY, Part.KEYS),
}
# Of the rows of a chunk: which part, and what is kept of it.
Row = tuple[str, str]


def kept_elsewhere(
    labs: dict[str, "Lab"], thresholds: metrics.Thresholds, *, random_draws: int
) -> tuple[SubspaceTransferred, ...]:
    """Returns every task's subspaces on every task with as many options."""
    found = []
    for source, one in labs.items():
        classes, _ = classes_of(one, thresholds)
        heads = tuple(
            Node(c.layer, c.head) for c in classes if c.name in LETTER_CLASSES
        )
        for target, other in labs.items() if heads else ():
            if target != source and other.prompts.choices == one.prompts.choices:
                found += _kept(one, other, heads, (source, target), random_draws)
    return tuple(found)


def _kept(
    source: "Lab", target: "Lab", heads: tuple[Node, ...], names, random_draws: int
) -> list[SubspaceTransferred]:
    own, there = (_views(lab, heads) for lab in (target, source))
    both = (Part.QUERY, Part.KEYS)
    bases = {OWN: fitted(own, both, _class_means)}
    bases[OTHER] = centred_as(fitted(there, both, _class_means), bases[OWN])
    for draw in range(random_draws):
        seed = target.config.seed + draw
        bases[f"{RANDOM} {draw}"] = _random_like(bases[OTHER], seed)
    rows: list[Row] = [(parts, kind) for parts in PARTS for kind in ("rank 0", *bases)]
    kept: list[passes.Kept] = [
        {
            key: basis.first(0) if kind == "rank 0" else basis
            for key, basis in bases[OWN if kind == "rank 0" else kind].items()
            if key[1] in PARTS[parts]
        }
        for parts, kind in rows
    ]
    table = _measure(source, target, heads, rows, kept)
    return [
        _describe(target, table, rows, names, heads, parts, kind, bases)
        for parts in PARTS
        for kind in (OWN, OTHER, RANDOM)
    ]


def _views(lab: "Lab", heads: tuple[Node, ...]) -> Views:
    study = lab.studied
    fitting = np.flatnonzero(study.choosing)
    return views_of(lab, [study.prompts[i] for i in fitting], heads)


def _class_means(rows: np.ndarray, classes) -> metrics.Basis:
    return metrics.class_means(rows, classes["place"], name="place")


def _random_like(bases: Bases, seed: int) -> Bases:
    """Random subspaces of the same ranks and centers."""
    return {
        key: dataclasses.replace(
            basis,
            name="random",
            vectors=metrics.random_directions(
                basis.rank, basis.width, seed=seed + 1000 * number
            ),
        )
        for number, (key, basis) in enumerate(bases.items())
    }


def _measure(
    source: "Lab", target: "Lab", heads, rows: list[Row], kept: list[passes.Kept]
) -> dict[str, np.ndarray]:
    """The table `transfer`: net logits of test prompts, intact and under every row."""
    study, checkpoint = target.studied, target.checkpoint
    config, parameters = checkpoint.config, checkpoint.parameters
    chunks = [chunk[~study.choosing[chunk]] for chunk in study.chunks]
    chunks = [chunk for chunk in chunks if len(chunk)]

    def work(chunk: np.ndarray) -> tuple[Array, Array]:
        asked = [study.prompts[i] for i in chunk]
        of, which = (a.ravel() for a in np.indices((len(chunk), len(rows))))
        base = batch_of(asked)
        start = passes.prefill(parameters, base.ids, base.lengths, config=config)
        edits = passes.subspace_edits(
            kept, which, batch_of([asked[i] for i in of]), config=config
        )
        run = passes.resume_edited(parameters, start, edits, of=of, config=config)
        gold = jnp.asarray(study.gold[chunk])[:, None]

        def net(final: Array) -> Array:
            logits, _ = passes.read_answers(
                parameters.unembedding, final, base.answer_ids, config=config,
                full_vocabulary=False,
            )  # fmt: skip
            return jnp.vectorize(metrics.net, signature="(c),()->()")(logits, gold)

        edited = run.final.reshape(len(chunk), len(rows), -1)
        return net(start.final[:, None])[:, 0], net(edited)

    made_of = {
        **study.identity,
        "choosing": study.choosing,
        "source": [source.studied.identity, source.studied.choosing],
        "heads": [str(head) for head in heads],
        "rows": [list(row) for row in rows],
        "seed": target.config.seed,
    }
    table = target.table("transfer", made_of).complete(
        chunks,
        work,
        lambda chunk, found: {"prompt": chunk, "intact": found[0], "kept": found[1]},
        track=target.track("keeping subspaces"),
    )
    order = np.argsort(table["prompt"])
    return {name: column[order] for name, column in table.items()}


def _describe(
    target: "Lab", table, rows: list[Row], names, heads, parts: str, kind: str,
    bases: dict[str, Bases],
) -> SubspaceTransferred:  # fmt: skip
    mine = [i for i, (p, k) in enumerate(rows) if p == parts and k.startswith(kind)]
    question = target.studied.question[table["prompt"]]
    zero = table["kept"][:, rows.index((parts, "rank 0"))]
    intact, times = table["intact"], len(mine)
    # Random draws one after another, all of the same questions.
    found = metrics.sufficiency(
        np.tile(intact, times), np.tile(zero, times),
        table["kept"][:, mine].T.ravel(), np.tile(question, times),
        seed=target.config.seed,
    )  # fmt: skip
    carried = None
    if metrics.interval(intact, question, seed=target.config.seed).excludes_zero():
        carried = metrics.ratio_interval(
            intact - zero, intact, question, seed=target.config.seed
        )
    of = bases[OWN if kind == OWN else OTHER]
    return SubspaceTransferred(
        source=names[1] if kind == OWN else names[0],
        target=names[1],
        parts=parts,
        kind=kind,
        heads=tuple(map(str, heads)),
        rank=max(basis.rank for (_, part), basis in of.items() if part in PARTS[parts]),
        recovered=found.ratio,
        refused=found.refused,
        carried=carried,
    )
