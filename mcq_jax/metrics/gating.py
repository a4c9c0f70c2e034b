"""The gate before any claim about a circuit: does the gold letter move the logits?

Without it, a model at chance still yields a ranking of nodes, a selected set and a
recovery ratio, all of them about noise.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Num, Shaped

from mcq_jax.metrics import letters

# A draw that restores the golds adds up in another order; it must count as a tie.
_TIE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Selectivity D of the model beside its null."""

    statistic: float  # D, logits
    null_low: float  # 2.5 % of D under permuted golds
    null_high: float  # 97.5 %
    p_value: float  # one-sided: chance of a D this high in the null
    n_questions: int
    n_prompts: int
    null: str  # how golds were permuted
    open: bool  # D is above its null: there may be a circuit to find
    reason: str  # one sentence for the report


def gate(
    answer_logits: Num[np.ndarray, "prompt choice"],
    gold: Int[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> Gate:
    """Tests whether answers are bound to letters. Give it *all* prompts, unfiltered.

    The null says that which option is right does not matter to the model. With
    rotations it is drawn by shifting a question's golds by one common random number of
    places: that makes another option of the question the right one in all rotations.
    Shuffling the golds of one question among its rotations would break that tie and
    give a null too narrow by up to sqrt(choices - 1) for a model that likes one wrong
    option wherever it stands. With one prompt per question, golds are permuted across
    questions. Sets with an unequal number of prompts per question were filtered by
    prompt, and stay closed.
    """
    if len(gold) == 0:
        raise ValueError("The gate needs prompts; found none. Give it the whole run.")
    _, index, counts = np.unique(question, return_inverse=True, return_counts=True)
    is_single = len(counts) == len(gold)
    logits = letters.centred(answer_logits)
    generator = np.random.default_rng(seed)

    def permuted_gold() -> np.ndarray:
        if is_single:
            return generator.permutation(gold)
        shift = generator.integers(logits.shape[1], size=len(counts))
        return (gold + shift[index]) % logits.shape[1]

    statistic = _selectivity(logits, gold)
    null = np.array(
        [_selectivity(logits, permuted_gold()) for _ in range(permutations)]
    )
    null = null[~np.isnan(null)]
    low, high = np.quantile(null, [0.025, 0.975]) if len(null) else (np.nan, np.nan)
    p_value = (1 + (null >= statistic - _TIE).sum()) / (1 + len(null))
    is_open, reason = _verdict(statistic, low, high, counts)
    return Gate(
        statistic=statistic,
        null_low=float(low),
        null_high=float(high),
        p_value=float(p_value),
        n_questions=len(counts),
        n_prompts=len(gold),
        null="golds permuted across questions"
        if is_single
        else "golds shifted within each question",
        open=is_open,
        reason=reason,
    )


def _verdict(
    statistic: float, low: float, high: float, counts: np.ndarray
) -> tuple[bool, str]:
    found = f"D = {statistic:.3f}, null {low:.3f} to {high:.3f}"
    if np.isnan(statistic):
        return False, "D needs at least two gold letters; add rotations of the options."
    if counts.min() != counts.max():
        return False, (
            f"questions have {counts.min()} to {counts.max()} prompts: a set filtered "
            "by prompt shows a circuit in noise; give every rotation of every question."
        )
    if statistic > high + _TIE:
        return True, f"the gold letter moves the logits ({found})."
    if statistic < low - _TIE:
        return False, f"the model avoids the gold letter ({found}); no circuit to find."
    return False, f"D lies inside its null ({found}); no circuit to find."


def _selectivity(centred_logits: np.ndarray, gold: np.ndarray) -> float:
    return float(letters.selectivity(letters.gold_by_answer(centred_logits, gold)))
