"""How much of a behaviour a set of nodes restores, or takes away, when patched.

Y is any per-prompt outcome (the net logit, as a rule): of the clean prompt, of its
source prompt scored with the clean prompt's gold answer, and of the patched run. The
scope of every claim: at the answer position, given the source prompt's own earlier
positions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Num, Shaped

from mcq_jax.metrics import statistics
from mcq_jax.metrics.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """A recovery ratio, or the reason why there is none."""

    ratio: Interval | None  # 1: all of it; 0: nothing; None: refused
    difference: Interval  # mean of Y(clean) - Y(source), the denominator
    refused: str  # why there is no ratio; "" where there is one


def sufficiency(
    clean: Num[np.ndarray, " prompt"],
    source: Num[np.ndarray, " prompt"],
    patched: Num[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    seed: int = 0,
) -> Recovery:
    """Returns (patched - source) / (clean - source): clean nodes in the source run.

    A ratio of means, clustered by question. All nodes together give exactly 1.
    """
    return _recovery(patched, source, clean, source, question, seed)


def necessity(
    clean: Num[np.ndarray, " prompt"],
    source: Num[np.ndarray, " prompt"],
    patched: Num[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    seed: int = 0,
) -> Recovery:
    """Returns (clean - patched) / (clean - source): source nodes in the clean run."""
    return _recovery(clean, patched, clean, source, question, seed)


def _recovery(
    upper: np.ndarray,
    lower: np.ndarray,
    clean: np.ndarray,
    source: np.ndarray,
    question: np.ndarray,
    seed: int,
) -> Recovery:
    whole = np.asarray(clean, np.float64) - np.asarray(source, np.float64)
    part = np.asarray(upper, np.float64) - np.asarray(lower, np.float64)
    difference = statistics.interval(whole, question, seed=seed)
    if not difference.excludes_zero():
        return Recovery(ratio=None, difference=difference, refused=_reason(difference))
    ratio = statistics.ratio_interval(part, whole, question, seed=seed)
    return Recovery(ratio=ratio, difference=difference, refused="")


def _reason(difference: Interval) -> str:
    return (
        f"clean minus source is {difference.mean:.3g} with an interval of "
        f"{difference.low:.3g} to {difference.high:.3g} over "
        f"{difference.questions} questions: it includes 0, so there is nothing to "
        "recover; use more questions, or look at the gate."
    )
