"""Linear probes: what can be read off activations, beside what a probe learns anyway.

That something can be decoded does not say that it is used. Nor that it stands there for
itself: a probe of many dimensions learns arbitrary labels too, if what they are a
function of can be decoded. So every accuracy stands beside that of *control tasks*
(Hewitt and Liang 2019): labels drawn once for each class, the same in the fitted and in
the read half. Selectivity is the difference.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from mcq_jax.arguments import require_finite
from mcq_jax.metrics import statistics
from mcq_jax.metrics.statistics import Interval

# Ridge penalties that are tried, as shares of the features' mean variance.
_PENALTIES = tuple(10.0**power for power in range(1, -6, -1))
_FOLDS = 3


@dataclass(frozen=True, kw_only=True)
class Probed:
    """How well something is read on questions that no probe was fitted on."""

    accuracy: Interval
    # Of control tasks, the mean over draws; the difference, row by row.
    control: Interval
    selectivity: Interval


def probe_classes(
    features: Num[np.ndarray, "row width"],
    classes: Int[np.ndarray, " row"],
    question: Shaped[np.ndarray, " row"],
    fitting: Bool[np.ndarray, " row"],
) -> Int[np.ndarray, " read"]:
    """Returns the class that a linear probe gives each row that it was not fitted on.

    Ridge regression on one column per class, the penalty chosen within the fitted
    questions, fold by fold.
    """
    names = np.unique(classes[fitting])
    wanted = (classes[fitting][:, None] == names).astype(np.float64)
    scores = _ridge(features, wanted, question, fitting)
    return names[scores.argmax(axis=1)]


def probe_lines(
    features: Num[np.ndarray, "row line width"],
    right: Int[np.ndarray, " row"],
    question: Shaped[np.ndarray, " row"],
    fitting: Bool[np.ndarray, " row"],
) -> Int[np.ndarray, " read"]:
    """Returns the line that a probe of one line, the same for all, finds right most.

    It is asked of each line by itself whether its option is right.
    """
    rows, lines, width = features.shape
    is_right = (right[:, None] == np.arange(lines)).astype(np.float64)
    scores = _ridge(
        features.reshape(-1, width),
        is_right[fitting].reshape(-1, 1),
        np.repeat(question, lines),
        np.repeat(fitting, lines),
    )
    return scores.reshape(-1, lines).argmax(axis=1)


def control_classes(
    cells: Int[np.ndarray, " row"], choices: int, *, seed: int
) -> Int[np.ndarray, " row"]:
    """Returns a label for every row, drawn once for each cell: a control task."""
    if choices < 1:
        raise ValueError(f"labels of {choices} choices; give at least 1.")
    random = np.random.default_rng(seed)
    names, index = np.unique(cells, return_inverse=True)
    # Each label about as often as any other.
    drawn = random.permutation(np.arange(len(names)) % choices)
    return drawn[index]


def probed(
    hits: Bool[np.ndarray, " read"],
    control_hits: Bool[np.ndarray, "draw read"],
    question: Shaped[np.ndarray, " read"],
    *,
    seed: int = 0,
) -> Probed:
    """Returns accuracy, that of control tasks, and selectivity, with intervals."""
    control = control_hits.mean(axis=0)
    accuracy, beside, apart = (
        statistics.interval(values, question, seed=seed)
        for values in (hits, control, hits - control)
    )
    return Probed(accuracy=accuracy, control=beside, selectivity=apart)


def _ridge(
    features: np.ndarray, wanted: np.ndarray, question: np.ndarray, fitting: np.ndarray
) -> Float[np.ndarray, "read column"]:
    """Scores of the rows that are read, by the penalty that left-out folds prefer."""
    require_finite(features, "features of a probe")
    x = np.asarray(features, np.float64)
    names, index = np.unique(question[fitting], return_inverse=True)
    if len(names) < _FOLDS or fitting.all():
        raise ValueError(
            f"a probe fitted on {len(names)} questions and read on "
            f"{len(np.unique(question[~fitting]))}; fit on {_FOLDS} at least, and "
            "leave some to read."
        )
    own, fold = x[fitting], index % _FOLDS
    products = own @ own.T
    lost = np.zeros(len(_PENALTIES))
    for one in range(_FOLDS):
        here, there = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        found = _solved(
            products[np.ix_(here, here)], products[np.ix_(there, here)], wanted[here]
        )
        lost += [((scores - wanted[there]) ** 2).sum() for scores in found]
    best = int(np.argmin(lost))
    return _solved(products, x[~fitting] @ own.T, wanted)[best]


def _solved(
    products: np.ndarray, across: np.ndarray, wanted: np.ndarray
) -> list[np.ndarray]:
    """Scores at new rows for each penalty, from products of rows alone.

    Args:
        products: of fitted rows with each other, [row, row].
        across: of new rows with fitted ones, [new, row].
    """
    mean = products.mean(axis=0)
    centred = products - mean[:, None] - mean + mean.mean()
    moved = across - across.mean(axis=1, keepdims=True) - mean + mean.mean()
    sizes, vectors = np.linalg.eigh(centred)
    middle = wanted.mean(axis=0)
    inside = vectors.T @ (wanted - middle)
    scale, across = np.trace(centred) / len(centred), moved @ vectors
    # What is rounding of features that are the same in all rows says nothing.
    is_there = (sizes > 1e-12 * np.abs(products).max())[:, None]
    divisors = [
        np.where(is_there, sizes[:, None] + p * scale, np.inf) for p in _PENALTIES
    ]
    return [middle + across @ (inside / divisor) for divisor in divisors]
