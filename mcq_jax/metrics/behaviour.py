"""What a model does on a set of prompts: accuracy in every reading, and the filter.

Nothing here looks inside the model. The filter goes by question, never by prompt:
prompts that came out right by luck look like a circuit (a model at chance has a net
logit of +3 on its own right answers).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from mcq_jax.arguments import require_finite
from mcq_jax.metrics import letters, statistics
from mcq_jax.metrics.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Behaviour of one model on one set of prompts; intervals are over questions."""

    raw_accuracy: Interval  # highest answer logit is the gold one
    prior_corrected_accuracy: Interval  # the same after subtracting the letter prior
    consistent_accuracy: Interval  # questions right in every rotation
    kept_share: Interval  # questions that the filter keeps
    net: Interval  # gold logit - mean of the others
    loss: Interval  # -log P(gold), whole vocabulary, nats
    loss_outside: Interval  # -log P(answer set)
    loss_inside: Interval  # -log P(gold | answer set)
    answer_mass: Interval  # P(answer set)
    accuracy_by_gold_letter: Float[np.ndarray, " choice"]  # NaN where never gold
    accuracy_by_gold_content: Float[np.ndarray, " choice"]  # by index in rotation 0
    share_by_letter: Float[np.ndarray, " choice"]  # how often each letter is chosen
    share_by_content: Float[
        np.ndarray, " choice"
    ]  # by the option's index in rotation 0
    letter_prior: Float[np.ndarray, " choice"]  # mean centred logit, logits
    n_questions: int
    n_prompts: int


def measure_behaviour(
    answer_logits: Num[np.ndarray, "prompt choice"],
    log_normaliser: Num[np.ndarray, " prompt"],
    gold: Int[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    rotation: Int[np.ndarray, " prompt"],
    *,
    seed: int = 0,
) -> Behaviour:
    """Returns every behavioural number of a run.

    Args:
      log_normaliser: log-sum-exp of the logits of the whole vocabulary.
      rotation: by how many places the prompt's options are shifted.
    """
    logits = np.asarray(answer_logits, dtype=np.float64)
    choices = logits.shape[1]
    right = is_correct(logits, gold)
    chosen = logits.argmax(axis=1)
    outside, inside = _loss_parts(logits, log_normaliser, gold)

    def mean(values: np.ndarray) -> Interval:
        return statistics.interval(values, question, seed=seed)

    def mean_over_questions(passed: np.ndarray) -> Interval:
        names = np.unique(question)
        return statistics.interval(np.isin(names, passed), names, seed=seed)

    return Behaviour(
        raw_accuracy=mean(right),
        prior_corrected_accuracy=mean(is_correct(_without_prior(logits), gold)),
        consistent_accuracy=mean_over_questions(_all_right(right, question)),
        kept_share=mean_over_questions(kept_questions(logits, gold, question)),
        net=mean(nets(logits, gold)),
        loss=mean(outside + inside),
        loss_outside=mean(outside),
        loss_inside=mean(inside),
        answer_mass=mean(np.exp(-outside)),
        accuracy_by_gold_letter=_mean_by(right, gold, choices),
        accuracy_by_gold_content=_mean_by(right, (gold - rotation) % choices, choices),
        share_by_letter=np.bincount(chosen, minlength=choices) / len(chosen),
        share_by_content=np.bincount((chosen - rotation) % choices, minlength=choices)
        / len(chosen),
        letter_prior=letters.letter_prior(logits),
        n_questions=len(np.unique(question)),
        n_prompts=len(question),
    )


def kept_questions(
    answer_logits: Num[np.ndarray, "prompt choice"],
    gold: Int[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
) -> Shaped[np.ndarray, " kept"]:
    """Returns the questions right in *every* rotation, letter prior subtracted.

    All rotations of a kept question stay: `np.isin(question, kept)`. Show the
    unfiltered set beside the filtered one, and put the gate on the unfiltered one.
    """
    return _all_right(is_correct(_without_prior(answer_logits), gold), question)


def is_correct(
    answer_logits: Num[np.ndarray, "prompt choice"], gold: Int[np.ndarray, " prompt"]
) -> Bool[np.ndarray, " prompt"]:
    """Says per prompt whether the gold logit is strictly above all others."""
    require_finite(answer_logits, "answer logits")
    logits = np.asarray(answer_logits)
    right = np.take_along_axis(logits, gold[:, None], axis=1)
    is_gold = np.arange(logits.shape[1]) == gold[:, None]
    return ((logits < right) | is_gold).all(axis=1)


def predictions(
    answer_logits: Num[np.ndarray, "prompt choice"], *, without_prior: bool
) -> Int[np.ndarray, " prompt"]:
    """Returns the letter of the highest logit, the letter prior subtracted or not."""
    require_finite(answer_logits, "answer logits")
    logits = _without_prior(answer_logits) if without_prior else answer_logits
    return np.asarray(logits).argmax(axis=1)


def nets(
    answer_logits: Num[np.ndarray, "prompt choice"], gold: Int[np.ndarray, " prompt"]
) -> Float[np.ndarray, " prompt"]:
    """Returns per prompt the gold logit minus the mean of the other answers."""
    logits = letters.centred(answer_logits)
    choices = logits.shape[1]
    right = np.take_along_axis(logits, gold[:, None], axis=1)[:, 0]
    return right * (choices / (choices - 1))


def _without_prior(answer_logits: np.ndarray) -> np.ndarray:
    return letters.centred(answer_logits) - letters.letter_prior(answer_logits)


def _all_right(right: np.ndarray, question: np.ndarray) -> np.ndarray:
    sums, counts = statistics.question_sums(right, question)
    return np.unique(question)[sums == counts]


def _mean_by(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Returns the mean per group, NaN for an empty one."""
    counts = np.bincount(group, minlength=groups).astype(float)
    counts[counts == 0] = np.nan
    return np.bincount(group, weights=values.astype(float), minlength=groups) / counts


def _loss_parts(
    logits: np.ndarray, log_normaliser: np.ndarray, gold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns -log P(answer set) and -log P(gold | answer set) per prompt."""
    top = logits.max(axis=1, keepdims=True)
    log_answer_set = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    right = np.take_along_axis(logits, gold[:, None], axis=1)[:, 0]
    return np.asarray(
        log_normaliser, np.float64
    ) - log_answer_set, log_answer_set - right
