"""What a ladder's table says: recovered shares, their controls, dimensions needed."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mcq_jax import metrics
from mcq_jax.experiments.ladder_cloud import cloud_of
from mcq_jax.experiments.ladder_fits import Fits
from mcq_jax.experiments.ladder_rungs import (
    ALIKE,
    ALONE,
    DIRECTION,
    INTACT,
    MEAN,
    MEANS,
    OPTIMAL,
    PARTS,
    RANDOM,
    VARIANCE,
    Rung,
)
from mcq_jax.interventions import Node
from mcq_jax.metrics import statistics
from mcq_jax.passes import Part
from mcq_jax.results import (
    HeadAlone,
    LadderFound,
    NeededFound,
    PartsFound,
    RungFound,
)

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab
    from mcq_jax.experiments.ladder import Ladder
    from mcq_jax.experiments.prompt_set import PromptSet

# Share of the score, or of the variance, that counts as all of it.
_ALL = 0.99


def describe(
    lab: "Lab",
    named: tuple[str, "PromptSet"],
    reading: np.ndarray,
    heads: tuple[Node, ...],
    fits: Fits,
    rungs: tuple[Rung, ...],
    table: dict[str, np.ndarray],
    options: "Ladder",
) -> LadderFound:
    """Returns what was found on one set of prompts."""
    name, asked = named
    reader = _Reader(
        net=table["net"], loss=table["loss"], question=asked.question[reading],
        rungs=rungs, seed=lab.config.seed,
    )  # fmt: skip
    alone = [
        HeadAlone(name=str(heads[rung.head]), lost=reader.lost([at]))
        for at, rung in enumerate(rungs)
        if rung.kind == ALONE
    ]
    chief = int(np.argmax([abs(one.lost.mean) for one in alone]))
    return LadderFound(
        prompts=name,
        choices=asked.choices,
        net=statistics.interval(reader.intact, reader.question, seed=reader.seed),
        parts=tuple(_of_parts(reader, parts, fits, options) for parts in PARTS),
        rungs=tuple(_rungs(reader, fits)),
        alone=tuple(alone),
        together=reader.lost(reader.find("QKV", MEANS, MEAN)),
        fitting_questions=len(fits.reads) // max(1, asked.rotations),
        questions=len(np.unique(reader.question)),
        cloud=cloud_of(lab, asked, reading, str(heads[chief]), chief, fits, table),
    )


class _Reader:
    """The table by rung."""

    def __init__(self, *, net, loss, question, rungs: tuple[Rung, ...], seed: int):
        self.net, self.loss, self.question = net, loss, question
        self.rungs, self.seed = rungs, seed
        [at] = [i for i, rung in enumerate(rungs) if rung.kind == INTACT]
        self.intact, self.intact_loss = net[:, at], loss[:, at]

    def find(self, parts: str, kind: str, name: str) -> list[int]:
        """Rows of a rung: of random ones as many as there are draws."""
        wanted = (parts, kind, name)
        return [
            i
            for i, rung in enumerate(self.rungs)
            if (rung.parts, rung.kind, rung.name) == wanted
        ]

    def lost(self, rows: list[int]) -> metrics.Interval:
        away = self.intact - self.net[:, rows].mean(axis=1)
        return statistics.interval(away, self.question, seed=self.seed)

    def zero(self, parts: str, kind: str = MEANS) -> list[int]:
        """Rank 0: the mean; of other prompts' content, any other's."""
        return self.find(parts, ALIKE if kind == ALIKE else MEANS, MEAN)

    def recovered(
        self, parts: str, kind: str, rows: list[int], *, loss: bool = False
    ) -> metrics.Recovery:
        values = -self.loss if loss else self.net
        intact = -self.intact_loss if loss else self.intact
        zero = values[:, self.zero(parts, kind)].mean(axis=1)
        patched = values[:, rows].mean(axis=1)
        return metrics.sufficiency(intact, zero, patched, self.question, seed=self.seed)


def _of_parts(reader: _Reader, parts: str, fits: Fits, options: "Ladder") -> PartsFound:
    zero = reader.net[:, reader.zero(parts)].mean(axis=1)
    whole = reader.recovered(parts, MEANS, reader.zero(parts))
    needed, samples = None, ()
    if not whole.refused:
        ranks = sorted({rung.rank for rung in reader.rungs if rung.kind == OPTIMAL})
        curve = [
            reader.net[:, reader.find(parts, OPTIMAL, f"rank {r}")[0]] for r in ranks
        ]
        needed, samples = ranks_needed(
            np.stack(curve, 1), zero, reader.intact, reader.question, ranks,
            enough=options.enough, seed=reader.seed,
        )  # fmt: skip
    of_score, of_variance = _ranks(fits, parts)
    return PartsFound(
        parts=parts,
        difference=whole.difference,
        share=statistics.ratio_interval(
            reader.intact - zero, reader.intact, reader.question, seed=reader.seed
        ),
        refused=whole.refused,
        needed=needed,
        needed_in_samples=samples,
        of_score=of_score,
        of_variance=of_variance,
    )


def ranks_needed(
    nets: Float[np.ndarray, "prompt rank"],
    zero: Float[np.ndarray, " prompt"],
    intact: Float[np.ndarray, " prompt"],
    question: np.ndarray,
    ranks: list[int],
    *,
    enough: float,
    seed: int,
    resamples: int = 1000,
) -> tuple[int | None, tuple[NeededFound, ...]]:
    """Returns the fewest dimensions that recover enough, and their distribution.

    Over bootstrap samples of the questions, for the same subspaces. None stands for
    more than were tried.
    """
    values = np.concatenate([nets, zero[:, None], intact[:, None]], axis=1)
    sums, _ = statistics.question_sums(values, question)
    weights = statistics.resample_weights(len(sums), resamples=resamples, seed=seed)

    def first(totals: np.ndarray) -> np.ndarray:
        low, high = totals[..., -2:-1], totals[..., -1:]
        is_enough = totals[..., :-2] - low >= enough * (high - low)
        found = np.array(ranks)[is_enough.argmax(axis=-1)]
        return np.where(is_enough.any(axis=-1), found, -1)

    drawn = first(weights @ sums)
    own = int(first(sums.sum(axis=0)))
    counts = tuple(
        NeededFound(
            dimensions=None if rank == -1 else int(rank),
            share=float((drawn == rank).mean()),
        )
        for rank in (*ranks, -1)
        if (drawn == rank).any()
    )
    return (None if own == -1 else own), counts


def _ranks(fits: Fits, parts: str) -> tuple[int, int]:
    """Dimensions of nearly all of the score and variance: the most of any head."""
    of_score, of_variance = [1], [1]
    for head in range(fits.heads):
        for part in PARTS[parts]:
            own, other = fits.pair(part, head)
            spectrum = metrics.score_spectrum(own, other)
            if spectrum.sum() > 0:
                of_score.append(metrics.rank_for(spectrum, _ALL))
            mine = other if part is Part.KEYS else own
            weights = metrics.singular_vectors(mine, name="variance").weights
            if weights.sum() > 0:
                of_variance.append(metrics.rank_for(weights, _ALL))
    return max(of_score), max(of_variance)


def _rungs(reader: _Reader, fits: Fits):
    """Every rung with its control; those that are not identified with the reason."""
    shown = dict.fromkeys(
        (rung.parts, rung.kind, rung.name)
        for rung in reader.rungs
        if rung.kind in (MEANS, ALIKE, DIRECTION, OPTIMAL, VARIANCE, RANDOM)
    )
    for parts, kind, name in shown:
        rows = reader.find(parts, kind, name)
        rung = reader.rungs[rows[0]]
        size = _dimensions(fits, rung)
        found = reader.recovered(parts, kind, rows)
        loss = reader.recovered(parts, kind, rows, loss=True)
        control = reader.find(parts, RANDOM, f"rank {size}")
        yield RungFound(
            parts=parts,
            kind=kind,
            name=name,
            dimensions=size,
            recovered=found.ratio,
            recovered_loss=loss.ratio,
            random=reader.recovered(parts, MEANS, control).ratio
            if control and kind != RANDOM
            else None,
            refused=found.refused,
        )
    for (kind, name), why in fits.described.refused.items():
        for parts in PARTS:
            yield RungFound(
                parts=parts, kind=kind, name=name, dimensions=None, recovered=None,
                recovered_loss=None, refused=why,
            )  # fmt: skip


def _dimensions(fits: Fits, rung: Rung) -> int | None:
    if rung.kind in (MEANS, ALIKE):
        return fits.dimensions(rung.terms)
    if rung.kind == DIRECTION:
        return None
    return rung.rank
