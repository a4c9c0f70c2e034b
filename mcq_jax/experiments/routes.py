"""Over which tokens does the answer come to the last one?

Two readings, which differ on purpose. *Cut*: without attention to some tokens, how much
of the effect is left: is the way needed? *Interchange*: with what some tokens show
taken from a prompt whose right option stands on another line, how much of the effect
goes along: does what makes the difference stand there? A label precedes its option, so
the label's key cannot hold the option's text; the option's end can hold both.

Effect: net logit of the right letter, which over all rotations of a question is D (the
letter prior cancels). Only what the last token reads is changed, in every layer; what
reaches it over several steps among the last tokens counts as another route.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mcq_jax import metrics, passes
from mcq_jax.experiments import route_edits
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.route_edits import CUT_TOKENS
from mcq_jax.experiments.route_rows import (
    Swap,
    cut_rows,
    heads_of,
    swap_rows,
    swaps_of,
    windows_of,
)
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Site
from mcq_jax.metrics import statistics
from mcq_jax.prompts import batch_of
from mcq_jax.results import RouteCut, RoutesFindings, RoutesFound, RouteSwap

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Routes(Experiment):
    """Cuts and interchanges what the answer position reads from labels and options."""

    name = "routes"
    findings = RoutesFindings
    needs = ("behaviour",)
    uses = ("head_classes",)

    # Equal stretches of layers that are cut by themselves, beside all layers.
    windows: int = 4
    # Random heads of the same layers, as many as there are correct-letter heads.
    random_draws: int = 3
    # Heads such as L21H3; where left out the correct-letter heads, if head_classes ran.
    heads: tuple[str, ...] = ()
    # Names of other prompts of the card, with other labels say, each with routes and a
    # gate of its own.
    sets: tuple[str, ...] = ()

    def __post_init__(self):
        check_at_least(self, 1, "windows", "random_draws")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs and lab.prompts.rotations > 1

    def reads(self, config: "RunConfig") -> tuple[str, ...]:
        return self.sets

    def run(self, lab: "Lab") -> RoutesFindings:
        others = [lab.on(name) for name in self.sets]
        for other in others:
            _require_lasting_labels(other)
        heads = heads_of(lab, self.heads)
        swaps = swaps_of(lab, heads, self.random_draws)
        layers = windows_of(lab.checkpoint.config.layers, self.windows)
        found = _routes(lab, layers, swaps)
        open_ones = [other for other in others if other.study is not None]
        return RoutesFindings(
            **{f.name: getattr(found, f.name) for f in dataclasses.fields(found)},
            letter_heads=tuple(f"L{layer}H{head}" for layer, head in heads),
            others=tuple(_routes(other, layers, swaps) for other in open_ones),
            closed=tuple(o.config.name for o in others if o not in open_ones),
        )


def _routes(lab: "Lab", layers: np.ndarray, swaps) -> RoutesFound:
    """Of one set of prompts, whose gate is open."""
    table = _measure(lab, layers, swaps)
    found = _describe(table, lab.studied, layers, swaps, lab.config.seed)
    return dataclasses.replace(found, prompts=lab.config.name)


def _require_lasting_labels(lab: "Lab") -> None:
    """Refuses labels that change with the order: what goes along is another letter."""
    labels: dict[str, list[int]] = {}
    for prompt in lab.prompts.prompts:
        own = prompt.answer_ids.tolist()
        if labels.setdefault(prompt.content_id, own) != own:
            raise ValueError(
                f"routes of {lab.config.name!r}, whose labels change from one order of "
                "the options to the next: the letter would move with the line. Give "
                "prompts whose labels stay, such as those of ordered_letters, numbers."
            )


def _measure(lab: "Lab", layers: np.ndarray, swaps: tuple[Swap, ...]) -> dict:
    """The table `routes`: net logits of every cut and interchange, by prompt."""
    study = lab.studied
    made_of = {
        **study.identity,
        "layers": layers,
        "swaps": list(swaps),
        "tokens": [
            route_edits.tokens_of(prompt, len(prompt.ids)) for prompt in study.prompts
        ],
    }
    names = ("net", "source_net", "cut_net", "swap_net", "is_aligned")
    table = lab.table("routes", made_of).complete(
        study.chunks,
        lambda chunk: _of_chunk(lab, chunk, layers, swaps),
        lambda chunk, found: {"prompt": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("cutting and interchanging routes"),
    )
    order = np.argsort(table["prompt"])
    return {name: column[order] for name, column in table.items()}


def _of_chunk(lab: "Lab", chunk: np.ndarray, layers: np.ndarray, swaps) -> tuple:
    study, checkpoint = lab.studied, lab.checkpoint
    config, parameters = checkpoint.config, checkpoint.parameters
    kinds = _kinds(study)
    sources = study.sources.index[chunk][:, kinds]  # [prompt, kind]
    batch = batch_of([study.prompts[i] for i in (*chunk, *sources.T.ravel())])
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, sites=(Site.Q,)
    )
    gold = study.gold[chunk]

    def nets(final: Array) -> Float[Array, "prompt *rows"]:
        logits, _ = passes.read_answers(
            parameters.unembedding, final, batch.answer_ids[: len(chunk)],
            config=config, full_vocabulary=False,
        )  # fmt: skip
        over_rows = jnp.vectorize(metrics.net, signature="(c),()->()")
        return over_rows(logits, gold.reshape(-1, *(1,) * (logits.ndim - 2)))

    def resumed(edits, of: np.ndarray, *shape: int) -> Array:
        rows = passes.resume_edited(parameters, start, edits, of=of, config=config)
        return nets(rows.final.reshape(len(chunk), *shape, -1))

    # Sources are read with the base's answers, and scored by the base's right one.
    by_kind = start.final[len(chunk) :].reshape(len(kinds), len(chunk), -1)
    cuts, of_cuts, cut_shape = cut_rows(study, chunk, batch, layers)
    moved, is_aligned, swap_shape = swap_rows(study, chunk, sources, batch, swaps)
    return (
        nets(start.final[: len(chunk), None])[:, 0],
        nets(jnp.moveaxis(by_kind, 0, 1)),
        resumed(cuts.edits, of_cuts, *cut_shape),
        resumed(moved.edits(start, config), moved.of, *swap_shape),
        is_aligned,
    )


def _kinds(study: Study) -> list[int]:
    """Another order of the same question, and another question with the same gold."""
    return [study.sources.kinds.index(kind) for kind in ("rotation", "placebo")]


def _describe(
    table: dict, study: Study, layers: np.ndarray, swaps, seed: int
) -> RoutesFound:
    net, question = table["net"], study.question
    cuts = [
        RouteCut(
            tokens=tokens,
            first_layer=int(np.flatnonzero(mask)[0]),
            last_layer=int(np.flatnonzero(mask)[-1]),
            renormalised=bool(renormalised),
            left=statistics.ratio_interval(
                table["cut_net"][:, t, w, renormalised], net, question, seed=seed
            ),
        )
        for t, tokens in enumerate(CUT_TOKENS)
        for w, mask in enumerate(layers)
        for renormalised in (1, 0)
    ]
    moved = []
    for who, tokens, parts in dict.fromkeys((s.who, s.tokens, s.parts) for s in swaps):
        index = [
            i
            for i, s in enumerate(swaps)
            if (s.who, s.tokens, s.parts) == (who, tokens, parts)
        ]
        found = [_share(table, question, kind, index, seed=seed) for kind in range(2)]
        moved.append(
            RouteSwap(
                who=who, tokens=tokens, parts=parts,
                rotation=found[0], placebo=found[1],
            )
        )  # fmt: skip
    whole = metrics.necessity(net, table["source_net"][:, 0], net, question, seed=seed)
    return RoutesFound(
        net=statistics.interval(net, question, seed=seed),
        difference=whole.difference,
        cuts=tuple(cuts),
        swaps=tuple(moved),
        questions=len(np.unique(question)),
        refused=whole.refused,
    )


def _share(table: dict, question, kind: int, index: list[int], *, seed: int):
    """The share of the effect that goes along; of random heads the mean over draws.

    Of placebo sources too in units of the effect of another order. None where no
    prompt can be aligned, or there is no effect to share.
    """
    fits = table["is_aligned"][:, kind, index].all(axis=1)
    fits &= table["is_aligned"][:, 0, index].all(axis=1)
    net = table["net"]
    whole = (net - table["source_net"][:, 0])[fits]
    if len(np.unique(question[fits])) < 2:
        return None
    if not statistics.interval(whole, question[fits], seed=seed).excludes_zero():
        return None
    part = (net - table["swap_net"][:, kind, index].mean(axis=1))[fits]
    return statistics.ratio_interval(part, whole, question[fits], seed=seed)
