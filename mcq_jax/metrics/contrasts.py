"""Differences between two conditions in which the same questions were asked.

The two are drawn together, question by question, so what makes a question hard in both
cancels.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Num, Shaped

from mcq_jax.metrics import statistics
from mcq_jax.metrics.statistics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio of means over prompts; of plain means the denominator is 1."""

    numerator: Num[np.ndarray, " prompt"]
    denominator: Num[np.ndarray, " prompt"]
    question: Shaped[np.ndarray, " prompt"]

    @classmethod
    def mean(cls, values: np.ndarray, question: np.ndarray) -> "Ratio":
        return cls(
            numerator=values, denominator=np.ones(len(values)), question=question
        )


def paired_difference(
    first: Ratio | Sequence[Ratio],
    second: Ratio,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns first minus second over the questions that all have, paired by them.

    Prompts of a question may be different in number in the two.

    Args:
        first: of several the mean.
    """
    several = [first] if isinstance(first, Ratio) else list(first)
    shared = np.unique(second.question)
    for one in several:
        shared = np.intersect1d(shared, one.question)
    if not len(shared):
        raise ValueError(
            f"{len(several) + 1} conditions have no question in common, of "
            f"{len(np.unique(second.question))} in the last; give conditions that ask "
            "the same ones."
        )
    weights = statistics.resample_weights(len(shared), resamples=resamples, seed=seed)

    def values(of: Ratio) -> np.ndarray:
        """The ratio itself, then that of every resample."""
        here = np.isin(of.question, shared)
        tops, bottoms = (
            statistics.question_sums(side[here], of.question[here])[0]
            for side in (np.asarray(of.numerator), np.asarray(of.denominator))
        )
        everyone = np.concatenate([np.ones((1, len(shared))), weights])
        return (everyone @ tops) / (everyone @ bottoms)

    found = np.mean([values(one) for one in several], axis=0) - values(second)
    return statistics.percentile_interval(
        float(found[0]), found[1:], questions=len(shared)
    )
