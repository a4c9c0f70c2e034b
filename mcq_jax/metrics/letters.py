"""The gold x answer matrix of a run, and the three readings of it.

M[gold, answer] is the mean over prompts of what an answer's logit gets when `gold` is
right; it may come from the model's logits or from one node's effect on them. The
prompts lie on the first axis; node axes may stand between it and the answers. Numpy
throughout, float64 inside: this is about prompts, not about one of them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What a gold x answer matrix says, in logits."""

    promotion: Float[np.ndarray, "*node"]  # of the answer set as a whole, on average
    letter_prior: Float[np.ndarray, "*node choice"]  # of each letter, whatever is right
    selectivity: Float[np.ndarray, "*node"]  # D: of the gold letter over other prompts'


def gold_by_answer(
    values: Num[np.ndarray, "prompt *node choice"], gold: Int[np.ndarray, " prompt"]
) -> Float[np.ndarray, "gold *node choice"]:
    """Returns the mean of the values per gold letter; NaN for a letter never gold."""
    values = np.asarray(values, dtype=np.float64)
    choices = values.shape[-1]
    if len(gold) and not 0 <= gold.min() <= gold.max() < choices:
        raise ValueError(
            f"Gold answers must lie in 0..{choices - 1} for {choices} answers; found "
            f"{gold.min()}..{gold.max()}. Give one column per answer."
        )
    rows = [
        values[gold == letter].mean(axis=0)
        if (gold == letter).any()
        else np.full(values.shape[1:], np.nan)
        for letter in range(choices)
    ]
    return np.stack(rows)


def readings(matrix: Float[np.ndarray, "gold *node choice"]) -> Readings:
    """Returns the three readings of a gold x answer matrix (not centred).

    Letters that are never gold are left out of every mean.
    """
    is_gold = _is_gold(matrix)
    mean_over_golds = matrix[is_gold].mean(axis=0)
    promotion = np.asarray(mean_over_golds.mean(axis=-1))
    return Readings(
        promotion=promotion,
        letter_prior=mean_over_golds - promotion[..., None],
        selectivity=selectivity(matrix),
    )


def gold_by_letter(
    answer_logits: Num[np.ndarray, "prompt choice"], gold: Int[np.ndarray, " prompt"]
) -> Float[np.ndarray, "gold choice"]:
    """Returns M of the model: mean logit of each letter, centred over the letters."""
    return gold_by_answer(centred(answer_logits), gold)


def selectivity(
    matrix: Float[np.ndarray, "gold *node choice"],
) -> Float[np.ndarray, "*node"]:
    """Returns D = mean over c of (M[c, c] - mean over c' != c of M[c', c]).

    Within a column, so a constant preference for a letter drops out; what is left is
    how much a letter gains by being right. Letters never gold are left out; D is NaN
    with fewer than two letters.
    """
    letters = np.flatnonzero(_is_gold(matrix))
    if len(letters) < 2:
        return np.full(matrix.shape[1:-1], np.nan)
    square = matrix[letters][..., letters]  # [gold, *node, choice], equal in number
    diagonal = np.einsum("c...c->...c", square)
    others = (square.sum(axis=0) - diagonal) / (len(letters) - 1)
    return np.asarray((diagonal - others).mean(axis=-1))


def selectivity_of_sets(
    values: Num[np.ndarray, "prompt *node letter"],
    is_right: Bool[np.ndarray, "prompt letter"],
) -> Float[np.ndarray, "*node"]:
    """Returns D where several letters may be right at once.

    D = mean over letters of (mean where the letter is right - mean where it is not).
    Letters that are always or never right are left out; with one letter right in every
    prompt, and each equally often, this is `selectivity`.
    """
    values = np.asarray(values, dtype=np.float64)
    letters = [i for i, right in enumerate(is_right.T) if 0 < right.mean() < 1]
    if not letters:
        return np.full(values.shape[1:-1], np.nan)
    gains = [
        values[is_right[:, letter], ..., letter].mean(axis=0)
        - values[~is_right[:, letter], ..., letter].mean(axis=0)
        for letter in letters
    ]
    return np.asarray(np.mean(gains, axis=0))


def centred(
    answer_logits: Num[np.ndarray, "prompt *node choice"],
) -> Float[np.ndarray, "prompt *node choice"]:
    """Returns the logits minus their mean over the answers."""
    logits = np.asarray(answer_logits, dtype=np.float64)
    return logits - logits.mean(axis=-1, keepdims=True)


def letter_prior(
    answer_logits: Num[np.ndarray, "prompt choice"],
) -> Float[np.ndarray, " choice"]:
    """Returns each letter's mean centred logit over the prompts of a run.

    Subtracting it removes a letter preference without touching the binding of letters
    to content, provided that every letter is gold equally often (rotations see to it).
    """
    return centred(answer_logits).mean(axis=0)


def _is_gold(matrix: Float[np.ndarray, "gold *node choice"]) -> np.ndarray:
    return np.logical_not(np.isnan(matrix).reshape(len(matrix), -1).any(axis=1))
