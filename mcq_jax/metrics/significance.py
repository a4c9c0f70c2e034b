"""P-values by question, and what is left of them when thousands of nodes are tried."""

import numpy as np
from jaxtyping import Float, Shaped

from mcq_jax.metrics import statistics


def sign_flip_p(
    values: Shaped[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    flips: int = 5000,
    seed: int = 0,
) -> float:
    """Returns the two-sided p of mean 0, flipping the sign of whole questions."""
    sums, _ = statistics.question_sums(values, question)
    signs = _signs(flips, len(sums), seed)
    return _p_value(np.abs(signs @ sums), abs(sums.sum()))


def max_statistic_p(
    values: Shaped[np.ndarray, " prompt *node"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    flips: int = 2000,
    seed: int = 0,
) -> Float[np.ndarray, "*node"]:
    """Returns two-sided p-values corrected for every node tried (Westfall-Young).

    Step-down over the nodes' t-like statistics, flipped together, so that nodes that
    say the same thing are not paid for twice. A p below 0.05 is right for *all* nodes
    named so in 95 of 100 runs.
    """
    sums, _ = statistics.question_sums(values, question)
    flat = sums.reshape(len(sums), -1)
    # Flips leave the sum of squares alone, so it can scale the nodes once for all.
    length = np.sqrt((flat**2).sum(axis=0))
    flat = flat / np.where(length > 0, length, 1.0)
    observed = np.abs(flat.sum(axis=0))
    order = np.argsort(-observed, kind="stable")
    corrected = _step_down(flat[:, order], _signs(flips, len(flat), seed))
    p_values = np.empty_like(corrected)
    p_values[order] = corrected
    return p_values.reshape(sums.shape[1:])


def _step_down(flat: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Returns corrected p-values for nodes in falling order of their statistic."""
    observed = np.abs(flat.sum(axis=0))
    at_least = np.zeros(flat.shape[1])
    for chunk in np.array_split(signs, max(1, len(signs) // 100)):  # bounds memory
        flipped = np.abs(chunk @ flat)  # [flip, node]
        maxima = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        at_least += (maxima >= observed - _TIE).sum(axis=0)
    return np.maximum.accumulate((1 + at_least) / (1 + len(signs)))


# Flips that restore the data must count as ties although they add in another order.
_TIE = 1e-9


def _p_value(null: np.ndarray, observed: float) -> float:
    tolerance = _TIE * max(1.0, abs(observed))
    return float((1 + (null >= observed - tolerance).sum()) / (1 + len(null)))


def _signs(flips: int, questions: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.choice([-1.0, 1.0], size=(flips, questions))
