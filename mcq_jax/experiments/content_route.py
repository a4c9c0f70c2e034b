"""By which tokens, and in which layers, does what the options say reach the answer?

First every kind of token is interchanged with another order's, of the right option's
line and of the others, in front of every layer: where a share falls, what makes the
difference has left these tokens. Then the heads that fetch it: *gatherers* look, from
tokens behind the options, at least twice as much at the end of the right line as at
another's.

In prompts that list the options before the question no token of an option can know
whether it is right; where the same heads serve both, they read no flag of that.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from mcq_jax import passes
from mcq_jax.experiments import route_edits
from mcq_jax.experiments.aligned_pairs import (
    ENDS,
    Pairs,
    aligned_pairs,
    lines,
    token_kinds,
)
from mcq_jax.experiments.content_spans import sweep_spans
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.node_effects import effects_of, per_node
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.interventions import Node, Site
from mcq_jax.metrics import statistics
from mcq_jax.prompts import TokenisedPrompt, batch_of, key_classes
from mcq_jax.results import ContentRouteFindings, GathererFound

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContentRoute(Experiment):
    """Interchanges kinds of tokens by line and layer, and finds the gatherers."""

    name = "content_route"
    version = 2  # kinds of tokens that some prompt has none of are named
    findings = ContentRouteFindings
    needs = ("node_effects",)

    # Every so many layers tokens are interchanged.
    layer_step: int = 1
    # Prompts of every studied question that are patched.
    prompts_per_question: int = 2
    # A gatherer's attention to the right line's end: so many times that to another's,
    # and at least so much.
    times: float = 2.0
    least: float = 0.1
    # From how many of the last tokens it may look; never from one of an option's line,
    # which may look at its own.
    last_tokens: int = 2
    # Name of a prompt set that lists options before the question (the mutation
    # `options_first`), swept beside; none, if empty.
    options_first: str = ""

    def __post_init__(self):
        check_at_least(self, 1, "layer_step", "prompts_per_question", "last_tokens")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs and lab.prompts.rotations > 1

    def reads(self, config: "RunConfig") -> tuple[str, ...]:
        return (self.options_first,) if self.options_first else ()

    def run(self, lab: "Lab") -> ContentRouteFindings:
        pairs = pairs_of(lab, self.prompts_per_question)
        layers = np.arange(0, lab.checkpoint.config.layers, self.layer_step)
        sweeps = [sweep_spans(lab, pairs, layers, lab.config.name)]
        if self.options_first:
            other = _pairs_beside(lab, self.options_first, self.prompts_per_question)
            sweeps.append(sweep_spans(lab, other, layers, self.options_first))
        gatherers, by_chance = find_gatherers(lab, pairs, self)
        return ContentRouteFindings(
            sweeps=tuple(sweeps),
            gatherers=gatherers,
            by_chance=by_chance,
            questions=len(np.unique(pairs.question)),
        )


def pairs_of(lab: "Lab", per_question: int) -> Pairs:
    """Returns aligned pairs of the studied prompts, once per run and number."""
    return lab.once(
        ("aligned pairs", per_question), lambda: _studied_pairs(lab, per_question)
    )


def _studied_pairs(lab: "Lab", per_question: int) -> Pairs:
    study = lab.studied
    pairs = aligned_pairs(
        study.prompts[: len(study.gold)], study.question, study.choosing,
        per_question=per_question, seed=lab.config.seed,
    )  # fmt: skip
    for half in (pairs.choosing, ~pairs.choosing):
        if len(np.unique(pairs.question[half])) < 2:
            raise ValueError(
                f"of {len(np.unique(study.question))} studied questions "
                f"{len(np.unique(pairs.question))} have two orders with their tokens "
                "in the same places, fewer than two of them in one half; study more "
                "(effect_questions), or ask for options of equally many tokens."
            )
    return pairs


def _pairs_beside(lab: "Lab", name: str, per_question: int) -> Pairs:
    """Aligned pairs of another set, as many questions as are studied."""
    other = lab.prompts_of(name)
    count = len(set(lab.studied.question.tolist()))
    names = list(dict.fromkeys(other.question.tolist()))[:count]
    chosen = np.isin(other.question, names)
    question = other.question[chosen]
    return aligned_pairs(
        tuple(np.array(other.prompts, object)[chosen]), question,
        np.zeros(len(question), bool), per_question=per_question,
        seed=lab.config.seed,
    )  # fmt: skip


def end_masks(prompt: TokenisedPrompt) -> Bool[np.ndarray, "line position"]:
    """Returns which tokens end each line: an option's last one, and the line break."""
    _, options = key_classes(prompt)
    ends = route_edits.tokens_of(prompt, len(prompt.ids))[route_edits.ENDS]
    by_option = ends[None] & (options == np.arange(len(prompt.place))[:, None])
    return by_option[np.argsort(prompt.place)]


def attention_to_ends(
    lab: "Lab", pairs: Pairs, last_tokens: int
) -> Float[np.ndarray, "pair layer head token line"]:
    """Returns how much heads look at the end of each line from the last tokens."""
    made_of = {**pairs.identity, "last tokens": last_tokens}

    def work(chunk: np.ndarray):
        asked = [pairs.prompts[i] for i in pairs.prompt[chunk]]
        batch = batch_of(asked)
        config = lab.checkpoint.config
        start = passes.prefill(
            lab.checkpoint.parameters, batch.ids, batch.lengths, config=config,
            suffix=last_tokens, sites=(Site.PATTERN,),
        )  # fmt: skip
        width = batch.ids.shape[1]
        masks = np.stack([
            np.pad(mask, ((0, 0), (0, width - mask.shape[1])))
            for mask in map(end_masks, asked)
        ])  # fmt: skip
        pattern = start.activations[Site.PATTERN]
        seen = jnp.einsum(
            "lpkgqs,pns->plkgqn", pattern, jnp.asarray(masks, pattern.dtype)
        )
        return seen.reshape(len(chunk), config.layers, config.heads, last_tokens, -1)

    table = lab.table("attention_to_ends", made_of).complete(
        pairs.chunks, work,
        lambda chunk, seen: {"pair": chunk, "seen": seen},
        track=lab.track("looking at line ends"),
    )  # fmt: skip
    return table["seen"][np.argsort(table["pair"])]


def behind_options(pairs: Pairs, last_tokens: int) -> Bool[np.ndarray, " token"]:
    """Returns which of the last tokens stand behind all options in every prompt."""
    behind = [
        (lines(pairs.prompts[i])[-last_tokens:] < 0)
        & (token_kinds(pairs.prompts[i])[-last_tokens:] != ENDS)
        for i in pairs.prompt
    ]
    return np.logical_and.reduce(np.array(behind), axis=0)


def find_gatherers(
    lab: "Lab", pairs: Pairs, options: ContentRoute
) -> tuple[tuple[GathererFound, ...], float]:
    """Returns gatherers, chosen on one half and read on the other, and chance's."""
    effects = effects_of(lab)  # on every host
    seen = attention_to_ends(lab, pairs, options.last_tokens)
    place = np.array([pairs.prompts[i].gold_place for i in pairs.prompt])
    choices, chosen = seen.shape[-1], pairs.choosing
    behind = behind_options(pairs, options.last_tokens)

    def passing(line: np.ndarray) -> Bool[np.ndarray, "layer head token"]:
        right, wrong = _by_line(seen[chosen], line[chosen])
        right, wrong = right.mean(axis=0), wrong.mean(axis=0)
        return behind & (right >= options.times * wrong) & (right >= options.least)

    def choose() -> tuple[tuple[tuple[int, int, int], ...], float]:
        found = [(int(a), int(b), int(c)) for a, b, c in np.argwhere(passing(place))]
        chance = [
            passing((place + shift) % choices).any(-1).sum()
            for shift in range(1, choices)
        ]
        return tuple(found), float(np.mean(chance))

    passed, by_chance = lab.decide(
        tuple[tuple[tuple[int, int, int], ...], float], choose
    )
    right, wrong = _by_line(seen, place)
    best: dict[tuple[int, int], int] = {}
    for layer, head, token in passed:  # the token from which it looks most
        held = best.get((layer, head))
        mean = right[chosen].mean(axis=0)[layer, head]
        if held is None or mean[token] > mean[held]:
            best[layer, head] = token
    test, question, seed = ~chosen, pairs.question, lab.config.seed

    def over(values: np.ndarray):
        return statistics.interval(values[test], question[test], seed=seed)

    found = []
    for (layer, head), token in best.items():
        at = (slice(None), layer, head)
        found.append(
            GathererFound(
                name=str(Node(layer, head)),
                token=token - options.last_tokens,
                right=over(right[*at, token]),
                wrong=over(wrong[*at, token]),
                direct=over(per_node(effects.direct)[pairs.prompt][at]),
                total=over(per_node(effects.total)[pairs.prompt][at]),
            )
        )
    return tuple(sorted(found, key=lambda one: -one.right.mean)), by_chance


def _by_line(
    seen: Float[np.ndarray, "pair *where line"], line: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Attention to the end of a line, and the mean over the others'."""
    index = line.reshape(-1, *(1,) * (seen.ndim - 1))
    own = np.take_along_axis(seen, index, axis=-1)[..., 0]
    return own, (seen.sum(axis=-1) - own) / (seen.shape[-1] - 1)
