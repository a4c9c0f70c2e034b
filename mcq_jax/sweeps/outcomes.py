"""What a patched prompt answers, and the metrics that reduce it to a number.

A metric is a pure function of one `Outcome`; a user's own is as good as those here. One
that looks inside the model is a `Metric`, which says what it reads. Signs follow one
rule: above 0 means that what was patched away helped.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import metrics
from mcq_jax.interventions import Capture, Site


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """One prompt's answers, in logits."""

    logits: Float[Array, " choice"]
    # Log-sum-exp over the whole vocabulary; None where it was not asked for.
    log_normaliser: Float[Array, ""] | None
    # What the metric reads, `[layer, *site axes]` as its captures select; nothing of
    # the prompt that it is patched from.
    seen: Mapping[Site, Array] = dataclasses.field(default_factory=dict)


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


MetricFunction = Callable[[Outcome], Array]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """A metric that reads activations: `outcome.patched.seen[site]`, and `unpatched`'s.

    Positions and keys of its captures count from the end, as a plan's: -1 is the answer
    position. They are `[selected]`, the same for all prompts, or `[prompt, selected]`.
    A table is known by all three fields.
    """

    function: MetricFunction
    reads: tuple[Capture, ...] = ()
    # To be raised where what the function calls has changed.
    version: int = 1

    def __post_init__(self):
        sites = [read.site for read in self.reads]
        if len(set(sites)) < len(sites):
            raise ValueError(
                f"a metric reads {sites}; name a site once, with all its layers, heads "
                "and positions."
            )
        for read in self.reads:
            for name in ("positions", "keys"):
                _check_from_end(read, name)

    def __call__(self, outcome: Outcome) -> Array:
        return self.function(outcome)


def reads_of(metric: MetricFunction) -> tuple[Capture, ...]:
    """Returns what a metric reads: of a plain function, nothing."""
    return metric.reads if isinstance(metric, Metric) else ()


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


EFFECTS: Mapping[str, MetricFunction] = {
    "net": net_effect,
    "loss": loss_effect,
    "kl": kl_effect,
}


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


def _check_from_end(read: Capture, name: str) -> None:
    places = getattr(read, name)
    needed = name == "positions" or read.site.key_axes
    if places is None and needed:
        raise ValueError(
            f"a metric reads {read.site} at all {name}, of which prompts have "
            f"different numbers; name some, {name}=[-1]."
        )
    if places is not None and np.asarray(places).max() >= 0:
        raise ValueError(
            f"a metric reads {read.site} at {name} up to {np.asarray(places).max()}; "
            "they count from the end, -1 is the answer position: subtract the prompts' "
            "lengths from positions that count from the start."
        )


def _loss(answers: Answers, outcome: Outcome) -> Float[Array, ""]:
    if answers.log_normaliser is None:
        raise ValueError(
            "a loss needs the whole vocabulary; sweep with full_vocabulary=True."
        )
    return metrics.loss_parts(
        answers.logits, answers.log_normaliser, outcome.gold
    ).total
