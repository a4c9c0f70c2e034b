"""Numbers of the mutation grid: a row of it from answers, and declared contrasts."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax import metrics
from mcq_jax.experiments.grid_rows import (
    INTACT,
    RANK_0,
    RESAMPLED,
    UNMUTATED,
    VARIANTS,
    Edits,
)
from mcq_jax.experiments.head_bases import Views
from mcq_jax.metrics import Ratio, statistics
from mcq_jax.metrics.behaviour import is_correct
from mcq_jax.passes import Part
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.results import ContrastFound, GridCell, GridRow

RECOVERED, CARRIED = "recovered", "carried"
FALLS, LASTS = "falls", "lasts"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast:
    """A difference from the unmutated prompts, and what is expected of it.

    recovered: by the subspace that was found without mutation. carried: what the heads
    carry (intact minus rank 0), as a share of what they carry without mutation. The
    mean over the mutations.
    """

    name: str
    # Names of prompt sets.
    prompts: tuple[str, ...]
    of: str = RECOVERED
    # It falls by more than this, or it lasts: does not fall by so much.
    expects: str = FALLS
    by: float = 0.2

    def __post_init__(self):
        allowed = {"of": (RECOVERED, CARRIED), "expects": (FALLS, LASTS)}
        for field, words in allowed.items():
            if getattr(self, field) not in words:
                raise ValueError(
                    f"{field} of the contrast {self.name!r} is "
                    f"{getattr(self, field)!r}; give one of {', '.join(words)}."
                )
        if not self.prompts or self.by <= 0:
            raise ValueError(
                f"the contrast {self.name!r} names {len(self.prompts)} sets of prompts "
                f"and a difference of {self.by}; give one or more, and one above 0."
            )


def check_contrasts(contrasts: Sequence[Contrast], names: Sequence[str]) -> None:
    """Refuses contrasts of prompts that are no row of the grid."""
    for one in contrasts:
        missing = [name for name in one.prompts if name not in names]
        if missing:
            raise ValueError(
                f"the contrast {one.name!r} names the prompts {', '.join(missing)}; "
                f"the card has, of the main questions, {', '.join(names)}."
            )


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
        variant: _of_variant(measured, edits, variant)
        for variant in VARIANTS
        if variant in (INTACT, *edits.variants)
        or (variant == RESAMPLED and measured.has_source.any())
    }
    intact, zero = by_variant[INTACT].net, by_variant[RANK_0].net
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
            recovered=metrics.sufficiency(
                intact[there], zero[there], found.net[there], question[there],
                seed=seed,
            ).ratio,
            query_rank=_rank(edits, variant, Part.QUERY),
            key_rank=_rank(edits, variant, Part.KEYS),
        )  # fmt: skip
        cells.append(cell)
    whole = metrics.sufficiency(intact, zero, intact, question, seed=seed)
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
        carried=whole.difference,
        share=share,
        refused="The heads carry nothing here." if whole.refused else "",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Found:
    """A variant's values by prompt, means over its draws or sources."""

    net: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    is_there: np.ndarray


def _of_variant(measured: Measured, edits: Edits, variant: str) -> _Found:
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
    return _Found(**means, is_there=weights.sum(axis=1) > 0)


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


# What was measured of each set of prompts, and its edits.
Grid = Mapping[str, tuple[Measured, Edits]]


def contrast(declared: Contrast, grid: Grid, main: str, *, seed: int) -> ContrastFound:
    """Returns a declared contrast, or why it cannot be tested."""
    difference, why = None, _untestable(declared, grid, main, seed)
    if not why:
        make = _recovered if declared.of == RECOVERED else _carried
        difference = metrics.paired_difference(
            [make(grid, name, main) for name in declared.prompts],
            make(grid, main, main),
            seed=seed,
        )
    return ContrastFound(**dataclasses.asdict(declared), difference=difference, why=why)


def _untestable(declared: Contrast, grid: Grid, main: str, seed: int) -> str:
    """Recovery needs heads that carry something, wherever it is read."""
    names = [main, *(declared.prompts if declared.of == RECOVERED else ())]
    for name in dict.fromkeys([main, *declared.prompts]):
        if name not in grid:
            return f"{name} could not be read."
    for name in names:
        intact, zero = (_nets(grid, name, variant) for variant in (INTACT, RANK_0))
        question = grid[name][0].question
        if not statistics.interval(intact - zero, question, seed=seed).excludes_zero():
            return f"The heads carry nothing under {name}."
    return ""


def _nets(grid: Grid, name: str, variant: str) -> np.ndarray:
    return _of_variant(*grid[name], variant).net


def _recovered(grid: Grid, name: str, main: str) -> Ratio:
    zero = _nets(grid, name, RANK_0)
    return Ratio(
        numerator=_nets(grid, name, UNMUTATED) - zero,
        denominator=_nets(grid, name, INTACT) - zero,
        question=grid[name][0].question,
    )


def _carried(grid: Grid, name: str, main: str) -> Ratio:
    """What heads carry, in units of what they carry without mutation, by question."""

    def by_question(of: str) -> tuple[np.ndarray, np.ndarray]:
        question = grid[of][0].question
        sums, counts = statistics.question_sums(
            _nets(grid, of, INTACT) - _nets(grid, of, RANK_0), question
        )
        return np.unique(question), sums / counts

    (names, here), (others, without) = by_question(name), by_question(main)
    shared, mine, theirs = np.intersect1d(names, others, return_indices=True)
    return Ratio(numerator=here[mine], denominator=without[theirs], question=shared)


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
