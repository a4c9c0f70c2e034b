"""Does a head look at a letter more when it is right? Tested over all heads at once.

Of hundreds of heads and several letters the largest s is above 0 by chance alone; so
each is held against the largest that permuted golds give (single-step maxT, Westfall
and Young 1993).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from mcq_jax.metrics.head_evidence import followed_letters, shares_of
from mcq_jax.metrics.permutations import permuted_golds

# A draw that restores the golds adds up in another order; it must count as a tie.
_TIE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Following:
    """s of every head and letter beside its null."""

    follows: Float[np.ndarray, "layer head choice"]
    # Chance of an s this high anywhere among the tested heads; 1 for all others.
    p_value: Float[np.ndarray, "layer head choice"]
    # 95 % of the largest s under permuted golds.
    threshold: float
    tested: Bool[np.ndarray, "layer head"]


def following(
    label_attention: Num[np.ndarray, "prompt layer head choice"],
    gold: Int[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    label_mass: float = 0.2,
    permutations: int = 1000,
    seed: int = 0,
) -> Following:
    """Returns s with p-values corrected over heads and letters.

    The null is the gate's (`permutations.permuted_golds`).

    Args:
        label_mass: least mean share of attention on labels of a head that is tested.
    """
    attention = np.asarray(label_attention, np.float64)
    choices = attention.shape[-1]
    tested = attention.sum(axis=-1).mean(axis=0) >= label_mass
    _, counts = np.unique(question, return_counts=True)
    if counts.min() != counts.max():
        raise ValueError(
            f"questions have {counts.min()} to {counts.max()} prompts; give every "
            "question in every rotation."
        )
    flat = attention[:, tested]  # [prompt, head, choice]

    def s_of(golds: np.ndarray) -> np.ndarray:
        is_gold = (golds[:, None] == np.arange(choices)).astype(np.float64)
        per_gold = is_gold.sum(axis=0)
        if (per_gold == 0).any():
            raise ValueError(
                f"no prompt has gold {np.flatnonzero(per_gold == 0).tolist()}; s "
                "compares gold letters. Give every rotation of the options."
            )
        means = np.tensordot(is_gold.T, flat, 1) / per_gold[:, None, None]
        return followed_letters(shares_of(means))  # [head, choice]

    observed = s_of(gold)
    draw = permuted_golds(gold, question, choices=choices, seed=seed)
    largest = np.array([s_of(draw()).max(initial=0.0) for _ in range(permutations)])
    exceeded = (largest >= observed[..., None] - _TIE).sum(axis=-1)
    shape = (*tested.shape, choices)
    follows, p_value = np.zeros(shape), np.ones(shape)
    follows[tested], p_value[tested] = observed, (1 + exceeded) / (1 + permutations)
    return Following(
        follows=follows,
        p_value=p_value,
        threshold=float(np.quantile(largest, 0.95)),
        tested=tested,
    )
