"""Which tokens hold what makes the difference, layer by layer: one sweep of spans."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import metrics, passes
from mcq_jax.experiments.aligned_pairs import (
    CUE,
    ENDS,
    LABELS,
    QUESTION,
    TEXT,
    TOKEN_KINDS,
    Pairs,
    lines,
    token_kinds,
)
from mcq_jax.interventions import Site
from mcq_jax.metrics import statistics
from mcq_jax.prompts import TokenisedPrompt, batch_of
from mcq_jax.results import SpanFound, SweepFound

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

LAST = "last token"
RIGHT, OTHER = "right line", "other lines"
# Tokens of rows that advance together.
_TOKENS_AT_ONCE = 4096


def spans_of(prompt: TokenisedPrompt) -> dict[str, Int[np.ndarray, " _"]]:
    """Returns the positions of every kind of token, options' by the gold's line."""
    kinds, line = token_kinds(prompt), lines(prompt)
    before = np.arange(len(kinds)) < len(kinds) - 1
    is_right = line == prompt.gold_place
    found = {}
    for kind in (QUESTION, LABELS, TEXT, ENDS, CUE):
        chosen = (kinds == kind) & before
        if kind in (QUESTION, CUE):
            found[TOKEN_KINDS[kind]] = np.flatnonzero(chosen)
            continue
        for which, of_line in ((RIGHT, is_right), (OTHER, ~is_right)):
            name = f"{TOKEN_KINDS[kind]}, {which}"
            found[name] = np.flatnonzero(chosen & of_line)
    found[LAST] = np.array([len(kinds) - 1])
    return found


def kinds_of(
    found: Sequence[Mapping[str, Int[np.ndarray, " _"]]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the kinds that every prompt has a token of, and the others."""
    everywhere = [kind for kind in found[0] if all(len(one[kind]) for one in found)]
    absent = [kind for kind in found[0] if kind not in everywhere]
    return tuple(everywhere), tuple(absent)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spans:
    """The rows of a sweep: a span in front of a layer, for some aligned pairs."""

    names: tuple[str, ...]
    layers: Int[np.ndarray, " layer"]
    # From the end of each pair's prompt, filled up by repeats.
    offsets: Int[np.ndarray, "pair span selected"]

    @classmethod
    def of(cls, pairs: Pairs, layers: Int[np.ndarray, " layer"]) -> "Spans":
        """All spans that every prompt has a token of."""
        found = [spans_of(pairs.prompts[i]) for i in pairs.prompt]
        names, _ = kinds_of(found)
        widest = max(len(one[name]) for one in found for name in names)
        offsets = np.array([
            [np.resize(one[name], widest) - len(pairs.prompts[i].ids) for name in names]
            for i, one in zip(pairs.prompt, found, strict=True)
        ])  # fmt: skip
        return cls(names=names, layers=layers, offsets=offsets)

    def plan(self, pairs: Int[np.ndarray, " chunk"]) -> passes.Patches:
        """One row per span and layer, layers behind; sources are read in place."""
        offsets = np.repeat(self.offsets[pairs], len(self.layers), axis=1)
        return passes.Patches(
            site=Site.RESID_PRE,
            layers=np.tile(self.layers, len(self.names)),
            offsets=offsets,
            source_offsets=offsets[:, None],
        )


def sweep_spans(
    lab: "Lab", pairs: Pairs, layers: Int[np.ndarray, " layer"], name: str
) -> SweepFound:
    """Returns what goes along with every span, from the run's table `content_spans`."""
    spans = Spans.of(pairs, layers)
    names = ("net", "source_net", "patched_net")
    table = lab.table("content_spans", {**pairs.identity, "rows": spans}).complete(
        pairs.chunks,
        lambda chunk: _of_chunk(lab, pairs, chunk, spans),
        lambda chunk, found: {"pair": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("interchanging tokens"),
    )
    order = np.argsort(table["pair"])
    return _describe({n: table[n][order] for n in names}, pairs, spans, name, lab)


def _of_chunk(lab: "Lab", pairs: Pairs, chunk: np.ndarray, spans: Spans) -> tuple:
    checkpoint = lab.checkpoint
    config, parameters = checkpoint.config, checkpoint.parameters
    batch = batch_of(pairs.asked(chunk))
    count, suffix = len(chunk), int(batch.lengths[0])
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, suffix=suffix
    )
    own = np.arange(count)
    sources = np.stack([count + own, 2 * count + own], axis=1)
    run = passes.resume(
        parameters, start.take(own), {Site.RESID_PRE: start.resid_pre[:, sources]},
        spans.plan(chunk), config=config, rows_at_once=_TOKENS_AT_ONCE,
        repeats=len(pairs.chunks),
    )  # fmt: skip
    gold = pairs.gold[chunk]

    def nets(final: Array) -> Float[Array, "pair *rows"]:
        logits, _ = passes.read_answers(
            parameters.unembedding, final, batch.answer_ids[:count], config=config,
            full_vocabulary=False,
        )  # fmt: skip
        over_rows = jnp.vectorize(metrics.net, signature="(c),()->()")
        return over_rows(logits, gold.reshape(-1, *(1,) * (logits.ndim - 2)))

    shape = (count, 2, len(spans.names), len(spans.layers))
    return (
        nets(start.final[own][:, None])[:, 0],
        nets(start.final[sources]),
        nets(run.final).reshape(shape),
    )


def _describe(
    table: dict[str, np.ndarray], pairs: Pairs, spans: Spans, name: str, lab: "Lab"
) -> SweepFound:
    net, question, seed = table["net"], pairs.question, lab.config.seed
    whole = metrics.necessity(net, table["source_net"][:, 0], net, question, seed=seed)
    difference = net - table["source_net"][:, 0]
    has_placebo = pairs.placebo >= 0

    def share(kind: int, span: int, layer: int, chosen: np.ndarray):
        part = (net - table["patched_net"][:, kind, span, layer])[chosen]
        return statistics.ratio_interval(
            part, difference[chosen], question[chosen], seed=seed
        )

    found = []
    if not whole.refused:
        every = np.ones(len(net), bool)
        enough = len(np.unique(question[has_placebo])) >= 2
        found = [
            SpanFound(
                tokens=tokens,
                layer=int(layer),
                rotation=share(0, s, at, every),
                placebo=share(1, s, at, has_placebo) if enough else None,
            )
            for s, tokens in enumerate(spans.names)
            for at, layer in enumerate(spans.layers)
        ]
    _, absent = kinds_of([spans_of(pairs.prompts[i]) for i in pairs.prompt])
    return SweepFound(
        prompts=name,
        difference=whole.difference,
        spans=tuple(found),
        left_out=pairs.left_out,
        refused=whole.refused,
        absent=absent,
    )
