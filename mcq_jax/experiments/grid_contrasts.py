"""Contrasts of the mutation grid: differences that a card declares before it is run."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mcq_jax import metrics
from mcq_jax.checked_calls import CheckedOptions
from mcq_jax.experiments.grid_numbers import (
    Measured,
    of_variant,
)
from mcq_jax.experiments.grid_rows import INTACT, RANK_0, UNMUTATED, Edits
from mcq_jax.metrics import Ratio, statistics
from mcq_jax.results import ContrastFound

RECOVERED, CARRIED = "recovered", "carried"
FALLS, LASTS = "falls", "lasts"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast(CheckedOptions):
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
        carried = statistics.interval(intact - zero, question, seed=seed)
        if not carried.excludes_zero():
            return f"The heads carry nothing under {name}."
    return ""


def _nets(grid: Grid, name: str, variant: str) -> np.ndarray:
    return of_variant(*grid[name], variant).net


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
