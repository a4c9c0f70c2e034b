"""Means with intervals, where the question is the unit and never the rotated prompt.

The rotations of one question are near copies of each other. Counting them as separate
observations makes every interval about half as wide as it should be.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Shaped

# Of logits, scores and their differences in float32: rounding errors can agree in sign
# over all prompts, and then have an interval without 0.
ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over prompts with its 95 % interval, clustered by question."""

    mean: float
    low: float  # -inf with a single question, which says nothing about others
    high: float
    questions: int  # the sample size; prompts are not independent

    def excludes_zero(self) -> bool:
        """Whether the mean is not 0, nor what sums in another order may differ by."""
        return self.low > ROUNDING or self.high < -ROUNDING


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """One interval per node (or per whatever follows the prompt axis)."""

    mean: Float[np.ndarray, "*node"]
    low: Float[np.ndarray, "*node"]
    high: Float[np.ndarray, "*node"]
    standard_error: Float[np.ndarray, "*node"]  # NaN with a single question
    questions: int

    def at(self, node: tuple[int, ...]) -> Interval:
        """Returns the interval of one node."""
        return Interval(
            mean=float(self.mean[node]),
            low=float(self.low[node]),
            high=float(self.high[node]),
            questions=self.questions,
        )


def interval(
    values: Shaped[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Returns the mean over prompts with a bootstrap interval over questions."""
    return ratio_interval(
        values,
        np.ones(len(values)),
        question,
        resamples=resamples,
        seed=seed,
        level=level,
    )


def ratio_interval(
    numerator: Shaped[np.ndarray, " prompt"],
    denominator: Shaped[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Returns mean(numerator) / mean(denominator), both resampled together.

    A ratio of means, not a mean of ratios, which a few small denominators would rule.
    """
    tops, _ = question_sums(numerator, question)
    bottoms, _ = question_sums(denominator, question)
    return _bootstrap(tops, bottoms, resamples=resamples, seed=seed, level=level).at(())


def intervals(
    values: Shaped[np.ndarray, " prompt *node"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """Returns `interval` for every node at once, on the same resampled questions."""
    sums, counts = question_sums(values, question)
    bottoms = counts.reshape((-1,) + (1,) * (sums.ndim - 1))
    return _bootstrap(sums, bottoms, resamples=resamples, seed=seed, level=level)


def percentile_interval(
    observed: float,
    resampled: Float[np.ndarray, " resample"],
    *,
    questions: int,
    level: float = 0.95,
) -> Interval:
    """Returns the interval of any statistic whose bootstrap values are at hand."""
    if questions == 1:
        return Interval(mean=observed, low=-math.inf, high=math.inf, questions=1)
    tail = _tail(questions, level)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(
        mean=observed, low=float(low), high=float(high), questions=questions
    )


def resample_weights(
    questions: int, *, resamples: int, seed: int
) -> Float[np.ndarray, "resample question"]:
    """Returns how often each question occurs in each bootstrap sample."""
    generator = np.random.default_rng(seed)
    share = np.full(questions, 1 / questions)
    counts = generator.multinomial(questions, share, size=resamples)
    return counts.astype(np.float64)  # products of integer arrays are slow


def question_sums(
    values: Shaped[np.ndarray, " prompt *node"], question: Shaped[np.ndarray, " prompt"]
) -> tuple[Float[np.ndarray, " question *node"], Float[np.ndarray, " question"]]:
    """Returns per question the sum of the values and the number of prompts."""
    values = np.asarray(values, dtype=np.float64)  # counts and truth values too
    missing = sum(bool(np.isnan(row).any()) for row in values)
    if len(values) == 0 or missing:
        raise ValueError(
            f"Statistics need a value for every prompt; found {len(values)} prompts, "
            f"{missing} of them with NaN. Leave out the prompts without a value."
        )
    _, index, counts = np.unique(question, return_inverse=True, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(values[np.argsort(index, kind="stable")], starts, axis=0)
    return sums, counts.astype(np.float64)


def _bootstrap(
    tops: np.ndarray, bottoms: np.ndarray, *, resamples: int, seed: int, level: float
) -> Intervals:
    """Resamples questions; `bottoms` broadcasts against `tops` [question, *node]."""
    weights = resample_weights(len(tops), resamples=resamples, seed=seed)
    means = np.tensordot(weights, tops, 1) / np.tensordot(weights, bottoms, 1)
    mean = tops.sum(axis=0) / bottoms.sum(axis=0)
    if len(tops) == 1:  # one question says nothing about others
        low, high = np.full(mean.shape, -np.inf), np.full(mean.shape, np.inf)
    else:
        tail = _tail(len(tops), level)
        low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return Intervals(
        mean=mean,
        low=low,
        high=high,
        standard_error=means.std(axis=0, ddof=1) if len(tops) > 1 else low * np.nan,
        questions=len(tops),
    )


def _tail(questions: int, level: float) -> float:
    """Returns the tail to cut from the bootstrap means on each side.

    The plain percentile interval is too narrow for few questions, by the factor
    sqrt((n - 1) / n) and by normal instead of t quantiles; cutting a smaller tail
    makes up for both (Hesterberg 2015, "What teachers should know about the
    bootstrap", section 5.3). The t quantile is its Cornish-Fisher expansion.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    freedom = questions - 1
    t = z + (z**3 + z) / (4 * freedom)
    t += (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return NormalDist().cdf(-t * math.sqrt(questions / freedom))
