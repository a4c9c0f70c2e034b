"""What the head classes go by: where a head looks when which letter is right.

Measured over all prompts of a run, one row per prompt; the thresholds that turn these
numbers into classes are in `head_classes`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from mcq_jax.metrics import letters, statistics
from mcq_jax.metrics.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class HeadEvidence:
    """Everything the rules look at; None for what was not measured."""

    label_mass: Float[np.ndarray, "layer head"]  # mean share of attention on labels
    label_share: Float[np.ndarray, "gold layer head choice"]  # of that mass, per gold
    follows: Float[np.ndarray, "layer head choice"]  # s
    ov_margin: Float[np.ndarray, "layer head"]  # own letter over others, logits
    direct_effect: Float[np.ndarray, "layer head"]  # net logits, mean over prompts
    total_difference: float  # mean net(x) - net(x'), the scale of effects
    resampled_direct_effect: Float[np.ndarray, "layer head"] | None
    content_share: Float[np.ndarray, "layer head outcome"] | None  # right, mean wrong
    late_mass: Float[np.ndarray, "layer head"] | None


def head_evidence(
    label_attention: Num[np.ndarray, "prompt layer head choice"],
    gold: Int[np.ndarray, " prompt"],
    *,
    ov_margin: Num[np.ndarray, "layer head"],
    direct_effect: Num[np.ndarray, "layer head"],
    total_difference: float,
    resampled_direct_effect: Num[np.ndarray, "layer head"] | None = None,
    content_attention: Num[np.ndarray, "prompt layer head choice"] | None = None,
    late_attention: Num[np.ndarray, "prompt layer head"] | None = None,
) -> HeadEvidence:
    """Returns what the rules look at, from one row per prompt.

    Args:
      label_attention: share of value-weighted attention on each label token.
      ov_margin: `ov_margin` of what each label's value writes to the answer logits.
      direct_effect: mean over prompts, feed-forward blocks left out.
      resampled_direct_effect: the same while all correct-letter heads are resampled;
        without it no head can be an amplifier.
      content_attention: share on each option's content (text and line end, no label).
      late_attention: share on the answer cue, the prompt's last tokens.
    """
    if not total_difference > 0:
        raise ValueError(
            f"Head classes measure effects against a positive net(x) - net(x'); found "
            f"{total_difference:.3g}. Look at the gate first."
        )
    by_gold = letters.gold_by_answer(label_attention, gold)
    if np.isnan(by_gold).any():
        missing = np.flatnonzero(np.isnan(by_gold).reshape(len(by_gold), -1).any(1))
        raise ValueError(
            f"Head classes compare gold letters; found {len(gold)} prompts and none "
            f"with gold {missing.tolist()}. Give every rotation of the options."
        )
    share = shares_of(by_gold)
    return HeadEvidence(
        label_mass=by_gold.sum(axis=-1).mean(axis=0),
        label_share=share,
        follows=followed_letters(share),
        ov_margin=np.asarray(ov_margin, np.float64),
        direct_effect=np.asarray(direct_effect, np.float64),
        total_difference=total_difference,
        resampled_direct_effect=None
        if resampled_direct_effect is None
        else np.asarray(resampled_direct_effect, np.float64),
        content_share=None
        if content_attention is None
        else _right_and_wrong(content_attention, gold),
        late_mass=None
        if late_attention is None
        else np.asarray(late_attention, np.float64).mean(axis=0),
    )


def followed_letters(
    label_share: Float[np.ndarray, "gold *head choice"],
) -> Float[np.ndarray, "*head choice"]:
    """Returns s: a letter's share of the label mass when gold, minus when not.

    A vector, because "attends to B if it is correct" is s_B alone.
    """
    diagonal = np.einsum("c...c->...c", label_share)
    others = (label_share.sum(axis=0) - diagonal) / (len(label_share) - 1)
    return diagonal - others


def ov_margin(
    label_writes: Num[np.ndarray, "*head choice answer"],
) -> Float[np.ndarray, "*head"]:
    """Returns how much more a label's value raises its own answer logit than others.

    Args:
      label_writes: answer logits written per attended label at attention 1, at the
        clean norm scale; a mean over prompts will do.
    """
    writes = np.asarray(label_writes, np.float64)
    return letters.selectivity(np.moveaxis(writes, -2, 0))


def proto_index(
    label_attention: Num[np.ndarray, "prompt choice"],
    gold: Int[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    letter: int,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Returns s of a single-letter head on its own letter, interval by question.

    Above 0, the letter's head has begun to look whether the letter is right. Head
    classes go without it; it is for following one head over checkpoints.
    """
    attention = np.asarray(label_attention, np.float64)
    is_gold = (gold[:, None] == np.arange(attention.shape[1])).astype(np.float64)
    # Sums per gold are all that s needs: they add over the resampled questions.
    sums, _ = statistics.question_sums(
        is_gold[:, :, None] * attention[:, None, :], question
    )
    weights = statistics.resample_weights(len(sums), resamples=resamples, seed=seed)
    drawn = np.moveaxis(np.tensordot(weights, sums, 1), 1, 0)  # gold, resample, choice
    return statistics.percentile_interval(
        float(followed_letters(shares_of(sums.sum(axis=0)))[letter]),
        followed_letters(shares_of(drawn))[:, letter],
        questions=len(sums),
    )


def shares_of(attention: np.ndarray) -> np.ndarray:
    """Returns shares over the last axis; even where a head never looks at a label."""
    total = attention.sum(axis=-1, keepdims=True)
    even = np.full_like(attention, 1 / attention.shape[-1])
    return np.divide(attention, total, out=even, where=total > 0)


def _right_and_wrong(attention: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Returns the mean attention on the right option and on the average wrong one."""
    attention = np.asarray(attention, np.float64)
    right = attention[np.arange(len(gold)), :, :, gold]
    wrong = (attention.sum(axis=-1) - right) / (attention.shape[-1] - 1)
    return np.stack([right.mean(axis=0), wrong.mean(axis=0)], axis=-1)
