"""E1: does the model do the task? Every prompt once, answers and loss."""

import functools

import numpy as np

from mcq_jax import metrics, passes, prompts
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.results import (
    BehaviourFound,
    Estimate,
    GateFound,
    RunFolder,
)


def ask(
    checkpoint: Checkpoint,
    asked: PromptSet,
    folder: RunFolder,
    progress: Progress,
    *,
    batch: int,
) -> dict[str, np.ndarray]:
    """Returns the table `behaviour`, one row per prompt in the prompt set's order."""
    about = {
        "question": asked.question,
        "rotation": asked.rotation,
        "subject": asked.subject,
        "gold": asked.gold,
        "tokens": asked.length,
    }

    def answer(chunk):
        here = prompts.batch_of([asked.prompts[i] for i in chunk])
        return passes.answer_prompts(
            checkpoint.parameters,
            here.ids,
            here.lengths,
            here.answer_ids,
            config=checkpoint.config,
        )

    def columns(chunk, found):
        answer_logits, log_normaliser = found
        return {name: column[chunk] for name, column in about.items()} | {
            "prompt": chunk,
            "answer_logits": answer_logits,
            "log_normaliser": log_normaliser,
        }

    chunks = [here.index for here in prompts.batches(asked.prompts, size=batch)]
    track = functools.partial(progress.track, name="asking")
    table = folder.table("behaviour", {"batch": batch}).complete(
        chunks, answer, columns, track=track
    )
    order = np.argsort(table["prompt"])
    return {name: column[order] for name, column in table.items()}


def describe(table: dict[str, np.ndarray], kept: int) -> BehaviourFound:
    """Returns accuracy, loss and letter biases over all prompts of the table."""
    found = metrics.measure_behaviour(
        table["answer_logits"],
        table["log_normaliser"],
        table["gold"],
        table["question"],
        table["rotation"],
    )
    matrix = metrics.gold_by_letter(table["answer_logits"], table["gold"])
    return BehaviourFound(
        accuracy=estimate(found.raw_accuracy),
        prior_corrected_accuracy=estimate(found.prior_corrected_accuracy),
        consistent_accuracy=estimate(found.consistent_accuracy),
        net_logit=estimate(found.net),
        loss=estimate(found.loss),
        loss_outside=estimate(found.loss_outside),
        loss_inside=estimate(found.loss_inside),
        answer_mass=estimate(found.answer_mass),
        accuracy_by_gold=tuple(found.accuracy_by_gold_letter.tolist()),
        share_by_letter=tuple(found.share_by_letter.tolist()),
        letter_prior=tuple(found.letter_prior.tolist()),
        gold_by_letter=tuple(tuple(row) for row in matrix.tolist()),
        kept_questions=kept,
    )


def gate_questions(table: dict[str, np.ndarray], *, seed: int) -> GateFound:
    """Returns whether the answers follow the right letter at all (definitions: D)."""
    found = metrics.gate(
        table["answer_logits"], table["gold"], table["question"], seed=seed
    )
    return GateFound(
        open=found.open,
        selectivity=found.statistic,
        null_low=found.null_low,
        null_high=found.null_high,
        p_value=found.p_value,
        null=found.null,
        reason=found.reason,
    )


def gate_pairs(
    clean: dict[str, np.ndarray], source: dict[str, np.ndarray], *, seed: int
) -> GateFound:
    """Returns whether a pair's two prompts differ in the clean prompt's net logit.

    Pairs have no letters to permute: the null flips the sign of whole pairs.
    """
    difference = metrics.nets(clean["answer_logits"], clean["gold"]) - metrics.nets(
        source["answer_logits"], clean["gold"]
    )
    found = metrics.interval(difference, clean["question"], seed=seed)
    p_value = metrics.sign_flip_p(difference, clean["question"], seed=seed)
    is_open = found.low > 0
    spread = 1.96 * float(np.sqrt((difference**2).sum())) / len(difference)
    return GateFound(
        open=is_open,
        selectivity=found.mean,
        null_low=-spread,
        null_high=spread,
        p_value=p_value,
        null="sign flips of clean minus source net logit, by pair",
        reason=(
            f"clean minus source net logit is {found.mean:.2f} "
            f"({found.low:.2f} to {found.high:.2f}, {found.n_questions} pairs): "
            + ("there is an effect to explain." if is_open else "it does not exceed 0.")
        ),
    )


def estimate(found: metrics.Interval) -> Estimate:
    """Returns an interval in the form that findings have."""
    return Estimate(
        mean=found.mean, low=found.low, high=found.high, questions=found.n_questions
    )
