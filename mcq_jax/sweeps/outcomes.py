"""What a patched prompt answers, and the metrics that reduce it to a number.

A metric is a pure function of one `Outcome`; a user's own is as good as those here.
Signs follow one rule: above 0 means that what was patched away helped.
"""

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import Array, Float, Int

from mcq_jax import metrics


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """One prompt's answers, in logits."""

    logits: Float[Array, " choice"]
    # Log-sum-exp over the whole vocabulary; None where it was not asked for.
    log_normaliser: Float[Array, ""] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """One prompt under one row's patches from one source."""

    patched: Answers
    # The same prompt as it is, and the prompt it is patched from (None for a constant).
    unpatched: Answers
    source: Answers | None
    # The right answer: of the clean prompt, whichever of the two is patched.
    gold: Int[Array, ""]


Metric = Callable[[Outcome], Array]


def net_effect(outcome: Outcome) -> Float[Array, ""]:
    """Net logit of the unpatched prompt less that of the patched one."""
    before, after = outcome.unpatched.logits, outcome.patched.logits
    return metrics.net(before, outcome.gold) - metrics.net(after, outcome.gold)


def loss_effect(outcome: Outcome) -> Float[Array, ""]:
    """Loss of the patched prompt less that of the unpatched one, in nats."""
    before, after = (_loss(a, outcome) for a in (outcome.unpatched, outcome.patched))
    return after - before


def kl_effect(outcome: Outcome) -> Float[Array, ""]:
    """KL of the answers' distribution from that of the unpatched prompt, in nats."""
    return metrics.kl(outcome.unpatched.logits, outcome.patched.logits)


def patched_net(outcome: Outcome) -> Float[Array, ""]:
    """Net logit of the patched prompt."""
    return metrics.net(outcome.patched.logits, outcome.gold)


def patched_logits(outcome: Outcome) -> Float[Array, " choice"]:
    """Logits of all answers of the patched prompt: a metric may be a vector."""
    return outcome.patched.logits


def patched_log_normaliser(outcome: Outcome) -> Float[Array, ""]:
    """Log-sum-exp over the vocabulary of the patched prompt."""
    if outcome.patched.log_normaliser is None:
        raise ValueError(
            "the log normaliser is of the whole vocabulary; sweep with "
            "full_vocabulary=True."
        )
    return outcome.patched.log_normaliser


def _loss(answers: Answers, outcome: Outcome) -> Float[Array, ""]:
    if answers.log_normaliser is None:
        raise ValueError(
            "a loss needs the whole vocabulary; sweep with full_vocabulary=True."
        )
    return metrics.loss_parts(
        answers.logits, answers.log_normaliser, outcome.gold
    ).total
