"""Follow-D: how far an answer goes where a source points, free of chance.

Something of a source prompt is put into a base prompt; the base then chooses a line (or
a letter). With M[p, c] the share of choices c among sources that point to p,

    follow-D = mean over p of M[p, p] - mean over p' != p of M[p', p]

It is 1 where the choice always follows, and 0 for a head that always picks the first
line, or always the base's own answer, provided that the base's own answer does not
depend on where the source points: give every base a source for every p.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from mcq_jax.metrics import statistics
from mcq_jax.metrics.statistics import Interval

# Below so many questions on either side the interval is too uncertain to be given.
FEWEST = 20


@dataclass(frozen=True, kw_only=True)
class FollowD:
    """Follow-D with its matrix."""

    value: Interval
    # Share of choices by where the source points, [pointed to, chosen].
    matrix: Float[np.ndarray, "choice choice"]
    # Fewer than 20 questions on a side.
    too_few: bool


def follow_d(
    chosen: Int[np.ndarray, " row"] | Float[np.ndarray, "row choice"],
    pointed: Int[np.ndarray, " row"],
    base_question: Shaped[np.ndarray, " row"],
    source_question: Shaped[np.ndarray, " row"],
    *,
    choices: int,
    resamples: int = 2000,
    seed: int = 0,
) -> FollowD:
    """Returns follow-D with a two-way bootstrap over base and source questions.

    Args:
        chosen: which of the base's lines (or letters) the patched prompt answers with,
            or shares of them, such as a head's attention on lines.
        pointed: which of them the source points to.
    """
    if not len(chosen):
        raise ValueError("follow-D of no rows; give base prompts and their sources.")
    cells = np.zeros((len(chosen), choices, choices))
    shares = chosen if np.ndim(chosen) == 2 else np.eye(choices)[chosen]
    cells[np.arange(len(chosen)), pointed] = shares
    weights, sides = two_way_weights(
        base_question, source_question, resamples=resamples, seed=seed
    )
    drawn = np.tensordot(weights, cells, 1)
    counts = cells.sum(axis=0)
    questions = min(sides)
    value = statistics.percentile_interval(
        float(_of_counts(counts)), _of_counts(drawn), questions=questions
    )
    matrix = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return FollowD(value=value, matrix=matrix, too_few=questions < FEWEST)


def share_two_way(
    holds: Bool[np.ndarray, " row"] | Float[np.ndarray, " row"],
    base_question: Shaped[np.ndarray, " row"],
    source_question: Shaped[np.ndarray, " row"],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the share of rows, or a mean of shares, with the same bootstrap."""
    weights, sides = two_way_weights(
        base_question, source_question, resamples=resamples, seed=seed
    )
    drawn = weights @ holds / weights.sum(axis=1)
    return statistics.percentile_interval(
        float(np.mean(holds)), drawn, questions=min(sides)
    )


def two_way_weights(
    first: Shaped[np.ndarray, " row"],
    second: Shaped[np.ndarray, " row"],
    *,
    resamples: int,
    seed: int,
) -> tuple[Float[np.ndarray, "resample row"], tuple[int, int]]:
    """Returns how often each row occurs, both its questions drawn anew.

    Rows of one pair of questions stand or fall together (the pigeonhole bootstrap, Owen
    2007). Resamples that hold no row at all are left out.
    """
    if not len(first):
        raise ValueError("shares of no rows; give base prompts and their sources.")
    index = [np.unique(side, return_inverse=True)[1] for side in (first, second)]
    sizes = (int(index[0].max()) + 1, int(index[1].max()) + 1)
    drawn = [
        statistics.resample_weights(size, resamples=resamples, seed=seed + 7919 * turn)
        for turn, size in enumerate(sizes)
    ]
    weights = drawn[0][:, index[0]] * drawn[1][:, index[1]]
    return weights[weights.sum(axis=1) > 0], sizes


def _of_counts(counts: np.ndarray) -> np.ndarray:
    """Follow-D of counts `[…, pointed, chosen]`; rows never pointed to do not count."""
    totals = counts.sum(axis=-1, keepdims=True)
    is_there = totals[..., 0] > 0  # [..., pointed]
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    own = np.einsum("...pp->...p", shares)
    others = (shares.sum(axis=-2) - own) / np.maximum(
        is_there.sum(axis=-1, keepdims=True) - 1, 1
    )
    difference = np.where(is_there, own - others, 0.0)
    return difference.sum(axis=-1) / np.maximum(is_there.sum(axis=-1), 1)
