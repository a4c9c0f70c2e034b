"""The gate before any claim about a circuit: does the gold letter move the logits?

Without it, a model at chance still yields a ranking of nodes, a selected set and a
recovery ratio, all of them about noise.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Num, Shaped

from mcq_jax.metrics import letters, significance, statistics
from mcq_jax.metrics.permutations import permuted_golds

# A draw that restores the golds adds up in another order; it must count as a tie.
_TIE = 1e-9
# Of the null above its upper end. A draw leaves the golds as they are, or like it, in 1
# of so many; where that is more often, no D can lie above.
_TAIL = 0.025


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether there is an effect to explain: D against its null."""

    open: bool  # D is above its null: there may be a circuit to find
    selectivity: float  # D, logits; NaN where it cannot be measured
    null_low: float  # 2.5 % of D under permuted golds
    null_high: float  # 97.5 %
    p_value: float  # one-sided: chance of a D this high in the null
    null: str  # how golds were permuted
    reason: str  # one sentence: why it is open or closed


def gate(
    answer_logits: Num[np.ndarray, "prompt choice"],
    gold: Int[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> Gate:
    """Tests whether answers are bound to letters. Give it *all* prompts, unfiltered.

    The null says that which option is right does not matter to the model
    (`permutations.permuted_golds`). Sets with an unequal number of prompts per question
    were filtered by prompt, or hold questions more often than others, and stay closed.
    """
    if len(gold) == 0:
        raise ValueError("The gate needs prompts; found none. Give it the whole run.")
    _require_finite(answer_logits)
    logits = letters.centred(answer_logits)
    _, counts = np.unique(question, return_counts=True)
    is_single = len(counts) == len(gold)
    draw = permuted_golds(gold, question, choices=logits.shape[1], seed=seed)
    statistic = _selectivity(logits, gold)
    null = np.array([_selectivity(logits, draw()) for _ in range(permutations)])
    null = null[~np.isnan(null)]
    low, high = np.quantile(null, [0.025, 0.975]) if len(null) else (np.nan, np.nan)
    p_value = (1 + (null >= statistic - _TIE).sum()) / (1 + len(null))
    is_open, reason = _judge(statistic, low, high, logits, gold, counts)
    return Gate(
        open=is_open,
        selectivity=statistic,
        null_low=float(low),
        null_high=float(high),
        p_value=math.nan if math.isnan(statistic) else float(p_value),
        null="golds permuted across questions"
        if is_single
        else "golds shifted within each question",
        reason=reason,
    )


def gate_of_pairs(
    clean: Num[np.ndarray, " prompt"],
    source: Num[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    seed: int = 0,
) -> Gate:
    """Tests whether a pair's two prompts differ in the clean prompt's net logit.

    Pairs have no letters to permute: the null flips the sign of whole questions.

    Args:
      clean: net logit of the clean prompts; source: of theirs, with the clean gold.
    """
    difference = np.asarray(clean, np.float64) - np.asarray(source, np.float64)
    _require_finite(difference[:, None])
    mean = statistics.interval(difference, question, seed=seed)
    sums, counts = statistics.question_sums(difference, question)
    spread = 1.96 * math.sqrt((sums**2).sum()) / counts.sum()
    is_open = mean.low > statistics.ROUNDING
    if mean.questions == 1:
        reason = (
            "one pair says nothing about others, whatever it does; give several pairs "
            "with different clean prompts."
        )
    else:
        reason = (
            f"clean minus source net logit is {mean.mean:.2f} ({mean.low:.2f} to "
            f"{mean.high:.2f}, {mean.questions} pairs): "
            + (
                "there is an effect to explain."
                if is_open
                else "it does not exceed 0 by more than rounding may."
            )
        )
    return Gate(
        open=is_open,
        selectivity=mean.mean,
        null_low=-spread,
        null_high=spread,
        p_value=significance.sign_flip_p(difference, question, seed=seed),
        null="sign flips of clean minus source net logit, by pair",
        reason=reason,
    )


def _require_finite(logits: np.ndarray) -> None:
    broken = int((~np.isfinite(logits).all(axis=1)).sum())
    if broken:
        raise ValueError(
            f"The answer logits of {broken} of {len(logits)} prompts are no finite "
            "numbers; look for what overflows in the model, or choose another dtype."
        )


def _judge(
    statistic: float,
    low: float,
    high: float,
    logits: np.ndarray,
    gold: np.ndarray,
    counts: np.ndarray,
) -> tuple[bool, str]:
    """Returns whether the gate is open and why; what cannot be judged comes first."""
    found = f"D = {statistic:.3f}, null {low:.3f} to {high:.3f}"
    if np.isnan(statistic):
        return False, (
            f"the right option has the same place, {gold[0] + 1} of "
            f"{logits.shape[1]}, in every prompt, and D compares gold letters: ask "
            "each question with its options in every rotation."
        )
    if counts.min() != counts.max():
        return False, (
            f"questions have {counts.min()} to {counts.max()} prompts, not all the "
            "same number: in a set filtered by prompt even noise shows a circuit; give "
            "every question in every rotation, once."
        )
    if np.ptp(logits, axis=0).max() <= _TIE:
        return False, (
            "every prompt has the same answer logits, whichever letter is right; no "
            "circuit to find."
        )
    chance = _chance_of_no_change(logits.shape[1], gold, counts)
    if chance > _TAIL:
        return False, (
            f"{_too_few(len(counts))} to tell D from its null ({found}): one in "
            f"{1 / chance:.0f} permutations of the golds changes nothing, and D must "
            "lie above 97.5 % of them; ask more questions."
        )
    if abs(statistic) <= statistics.ROUNDING:
        return False, (
            f"D = {statistic:.1e} is no more than rounding may leave; no circuit to "
            "find."
        )
    if statistic > high + _TIE:
        return True, f"the gold letter moves the logits ({found})."
    if statistic < low - _TIE:
        return False, f"the model avoids the gold letter ({found}); no circuit to find."
    return False, f"D lies inside its null ({found}); no circuit to find."


def _too_few(questions: int) -> str:
    return (
        "1 question is too few"
        if questions == 1
        else f"{questions} questions are too few"
    )


def _chance_of_no_change(choices: int, gold: np.ndarray, counts: np.ndarray) -> float:
    """Returns how often a draw of the null leaves all golds as they are."""
    if len(counts) < len(gold):  # one shift per question
        return float(choices) ** -len(counts)
    same = np.bincount(gold)
    arrangements = math.lgamma(len(gold) + 1) - sum(math.lgamma(n + 1) for n in same)
    return math.exp(-arrangements)


def _selectivity(centred_logits: np.ndarray, gold: np.ndarray) -> float:
    return float(letters.selectivity(letters.gold_by_answer(centred_logits, gold)))
