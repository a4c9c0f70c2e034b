"""Numbers of the mutation grid: a row of it from answers."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax import metrics
from mcq_jax.experiments.grid_rows import (
    INTACT,
    RANK_0,
    RESAMPLED,
    VARIANTS,
    Edits,
)
from mcq_jax.experiments.head_bases import Views
from mcq_jax.metrics import statistics
from mcq_jax.metrics.behaviour import is_correct
from mcq_jax.passes import Part
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.results import GridCell, GridRow


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Answers of prompts intact, under every edit, and with each source's heads."""

    asked: tuple[TokenisedPrompt, ...]
    question: np.ndarray  # [prompt]
    logits: Float[np.ndarray, "prompt row choice"]
    log_normaliser: Float[np.ndarray, "prompt row"]
    has_source: Bool[np.ndarray, "prompt source"]

    @property
    def gold(self) -> Int[np.ndarray, " prompt"]:
        return np.array([prompt.gold for prompt in self.asked])

    def values(self, rows: Sequence[int]) -> dict[str, Float[np.ndarray, "prompt row"]]:
        """Net logit, loss and accuracy by prompt and row."""
        logits = self.logits[:, rows].astype(np.float64)
        gold = np.repeat(self.gold, len(rows))
        flat = logits.reshape(-1, logits.shape[-1])
        of_gold = flat[np.arange(len(flat)), gold].reshape(logits.shape[:2])
        return {
            "net": metrics.nets(flat, gold).reshape(logits.shape[:2]),
            "loss": self.log_normaliser[:, rows] - of_gold,
            "accuracy": is_correct(flat, gold).reshape(logits.shape[:2]),
        }


def row(title: GridRow, measured: Measured, edits: Edits, *, seed: int) -> GridRow:
    """Returns a mutation's row from what was measured under it."""
    question = measured.question
    by_variant = {
        variant: of_variant(measured, edits, variant)
        for variant in VARIANTS
        if variant in (INTACT, *edits.variants)
        or (variant == RESAMPLED and measured.has_source.any())
    }
    intact, zero = by_variant[INTACT].net, by_variant[RANK_0].net
    carried = statistics.interval(intact - zero, question, seed=seed)
    does_carry = carried.excludes_zero()
    cells = []
    for variant, found in by_variant.items():
        there = found.is_there
        cell = GridCell(
            variant=variant,
            net=statistics.interval(found.net[there], question[there], seed=seed),
            loss=statistics.interval(found.loss[there], question[there], seed=seed),
            accuracy=statistics.interval(
                found.accuracy[there], question[there], seed=seed
            ),
            recovered=statistics.ratio_interval(
                (found.net - zero)[there], (intact - zero)[there], question[there],
                seed=seed,
            )
            if does_carry
            else None,
            query_rank=_rank(edits, variant, Part.QUERY),
            key_rank=_rank(edits, variant, Part.KEYS),
        )  # fmt: skip
        cells.append(cell)
    net = statistics.interval(intact, question, seed=seed)
    share = None
    if net.excludes_zero():
        share = statistics.ratio_interval(intact - zero, intact, question, seed=seed)
    return dataclasses.replace(
        title,
        questions=len(np.unique(question)),
        cells=tuple(cells),
        by_place=_gate(measured, "place", seed=seed),
        by_letter=_gate(measured, "letter", seed=seed),
        carried=carried,
        share=share,
        refused="" if does_carry else "The heads carry nothing here.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """A variant's values by prompt, means over its draws or sources."""

    net: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    is_there: np.ndarray


def of_variant(measured: Measured, edits: Edits, variant: str) -> Found:
    """Returns the values of one column of the grid."""
    weights = np.ones((len(measured.asked), 1))
    if variant == INTACT:
        rows = [0]
    elif variant == RESAMPLED:
        weights = measured.has_source.astype(float)
        rows = [1 + len(edits.kept) + i for i in range(weights.shape[1])]
    else:
        rows = [1 + i for i in edits.of(variant)]
        weights = np.ones((len(measured.asked), len(rows)))
    counts = np.maximum(weights.sum(axis=1), 1)
    means = {
        name: (values * weights).sum(axis=1) / counts
        for name, values in measured.values(rows).items()
    }
    return Found(**means, is_there=weights.sum(axis=1) > 0)


def _rank(edits: Edits, variant: str, part: Part) -> float | None:
    """Mean over heads of how many dimensions are kept."""
    ranks = [
        basis.rank
        for number in edits.of(variant)
        for (_, own), basis in edits.kept[number].items()
        if own is part
    ]
    return float(np.mean(ranks)) if ranks else None


def _gate(measured: Measured, of: str, *, seed: int) -> metrics.Gate | None:
    """D of the intact model by place or letter; None where letters are not common."""
    order = np.stack([getattr(prompt, of) for prompt in measured.asked])
    if (np.sort(order, axis=1) != np.arange(order.shape[1])).any():
        return None
    logits = np.take_along_axis(
        measured.logits[:, 0], np.argsort(order, axis=1), axis=1
    )
    gold = order[np.arange(len(order)), measured.gold]
    return metrics.gate(logits, gold, measured.question, permutations=1000, seed=seed)


def overlaps(parts: Views) -> tuple[float, float]:
    """How much of the letter's directions lies among the place's, over heads."""
    found = []
    for part in (Part.QUERY, Part.KEYS):
        apart = [
            metrics.additive_means(parts.rows(head, part), parts.classes(part))
            for head in parts.heads
        ]
        found.append(
            np.mean([metrics.subspace_overlap(a["place"], a["letter"]) for a in apart])
        )
    return float(found[0]), float(found[1])
