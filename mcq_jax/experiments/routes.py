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
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mcq_jax import metrics, passes
from mcq_jax.experiments import route_edits
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.head_classes import LETTER_HEADS
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.route_edits import BOTH, CUT_TOKENS, ENDS, LABELS
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Site
from mcq_jax.metrics import statistics
from mcq_jax.prompts import TokenBatch, batch_of
from mcq_jax.results import HeadClassesFindings, RouteCut, RoutesFindings, RouteSwap

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

EVERY_HEAD, THOSE_HEADS, RANDOM_HEADS = (
    "every head", "correct-letter heads", "random heads",
)  # fmt: skip


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

    def __post_init__(self):
        check_at_least(self, 1, "windows", "random_draws")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs and lab.prompts.rotations > 1

    def run(self, lab: "Lab") -> RoutesFindings:
        heads = letter_heads(lab)
        swaps = _swaps(lab, heads, self.random_draws)
        layers = _windows(lab.checkpoint.config.layers, self.windows)
        table = _measure(lab, layers, swaps)
        return _describe(table, lab.studied, layers, swaps, heads, lab.config.seed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swap:
    """What is interchanged, and for which heads."""

    who: str
    tokens: str
    keys: bool
    values: bool
    queries: bool
    heads: Bool[np.ndarray, "layer kv_head group"]

    @property
    def parts(self) -> str:
        kinds = ("queries", "keys", "values")
        return " and ".join(kind for kind in kinds if getattr(self, kind))


def letter_heads(lab: "Lab") -> tuple[tuple[int, int], ...]:
    """Layer and head of the correct-letter heads, where heads were classified."""
    if "head_classes" not in lab.records:
        return ()
    found = lab.findings(HeadClassesFindings).heads
    return tuple((h.layer, h.head) for h in found if h.head_class in LETTER_HEADS)


def _swaps(
    lab: "Lab", heads: Sequence[tuple[int, int]], draws: int
) -> tuple[Swap, ...]:
    config = lab.checkpoint.config
    every = np.ones((config.layers, config.kv_heads, config.group), bool)
    swaps = [
        Swap(
            who=EVERY_HEAD, tokens=tokens, keys=k, values=v, queries=False, heads=every
        )
        for tokens in (LABELS, ENDS, BOTH)
        for k, v in ((True, False), (False, True), (True, True))
    ]
    if heads:
        own = mask_of(heads, config)
        swaps += [
            Swap(who=THOSE_HEADS, tokens=LABELS, queries=q, keys=k, values=v, heads=own)
            for q, k, v in (
                (True, False, False), (False, True, False), (False, False, True),
                (True, True, True),
            )
        ]  # fmt: skip
        swaps += [
            Swap(
                who=RANDOM_HEADS, tokens=LABELS, queries=True, keys=True, values=True,
                heads=mask_of(drawn, config),
            )
            for drawn in random_heads(heads, config.heads, draws, lab.config.seed)
        ]  # fmt: skip
    return tuple(swaps)


def mask_of(heads: Sequence[tuple[int, int]], config) -> np.ndarray:
    flat = np.zeros((config.layers, config.heads), bool)
    flat[tuple(np.array(heads).T)] = True
    return flat.reshape(config.layers, config.kv_heads, config.group)


def random_heads(
    heads: Sequence[tuple[int, int]], count: int, draws: int, seed: int
) -> Iterator[list[tuple[int, int]]]:
    """As many other heads of every layer, or all others where there are too few."""
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        drawn = []
        for layer in sorted({layer for layer, _ in heads}):
            own = [head for at, head in heads if at == layer]
            others = np.setdiff1d(np.arange(count), own)
            size = min(len(own), len(others))
            picked = generator.choice(others, size, replace=False)
            drawn += [(layer, int(head)) for head in picked]
        yield drawn


def _windows(layers: int, count: int) -> Bool[np.ndarray, "window layer"]:
    """All layers, and equal stretches of them."""
    stretches = np.array_split(np.arange(layers), min(count, layers))
    masks = [np.isin(np.arange(layers), stretch) for stretch in stretches]
    return np.stack([np.ones(layers, bool), *masks])


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
    cuts, of_cuts, cut_shape = _cut_rows(study, chunk, batch, layers)
    moved, is_aligned, swap_shape = _swap_rows(study, chunk, sources, batch, swaps)
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


def _cut_rows(study: Study, chunk, batch: TokenBatch, layers: np.ndarray):
    """Rows by prompt, tokens, layers, and whether the rest is scaled up."""
    keys = batch.ids.shape[1]
    shape = (len(CUT_TOKENS), len(layers), 2)
    prompt, tokens, window, renormalised = (
        index.ravel() for index in np.indices((len(chunk), *shape))
    )
    masks = np.stack([
        list(route_edits.tokens_of(study.prompts[i], keys).values()) for i in chunk
    ])  # fmt: skip
    cuts = route_edits.Cuts(
        tokens=masks[prompt, tokens],
        layers=layers[window],
        renormalised=renormalised == 1,
        answer=batch.lengths[prompt] - 1,
    )
    return cuts, prompt, shape


def _swap_rows(study: Study, chunk, sources, batch: TokenBatch, swaps):
    """Rows by prompt, kind of source and swap; which prompts have aligned tokens."""
    shape = (sources.shape[1], len(swaps))
    rows = list(np.ndindex(len(chunk), *shape))
    choices = batch.answer_ids.shape[1]
    pairs = {
        (p, k, tokens): route_edits.aligned(
            study.prompts[chunk[p]], study.prompts[sources[p, k]], tokens
        )
        for p, k in np.ndindex(sources.shape)
        for tokens in (LABELS, ENDS, BOTH)
    }
    size = max([choices, *(len(pair[0]) for pair in pairs.values() if pair)])
    to, taken, counts = [], [], []
    for p, k, s in rows:
        pair = pairs[p, k, swaps[s].tokens] or ([], [])
        own, count = route_edits.filled(pair[0], size, int(batch.lengths[p]))
        to.append(own)
        taken.append(pair[1] + [0] * (size - len(pair[1])))
        counts.append(count)
    of, kind, swap = np.array(rows).T
    chosen = [swaps[s] for s in swap]
    counts = np.array(counts)
    is_aligned = np.array(
        [pairs[p, k, swaps[s].tokens] is not None for p, k, s in rows]
    )
    moved = route_edits.Swaps(
        of=of,
        source=len(chunk) * (1 + kind) + of,
        to=np.array(to),
        taken=np.array(taken),
        keys=counts & np.array([s.keys for s in chosen])[:, None],
        values=counts & np.array([s.values for s in chosen])[:, None],
        queries=np.array([s.queries for s in chosen]),
        heads=np.stack([s.heads for s in chosen]),
        answer=batch.lengths[of] - 1,
    )
    return moved, is_aligned.reshape(len(chunk), *shape), shape


def _describe(
    table: dict, study: Study, layers: np.ndarray, swaps, heads, seed: int
) -> RoutesFindings:
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
    return RoutesFindings(
        net=statistics.interval(net, question, seed=seed),
        difference=whole.difference,
        cuts=tuple(cuts),
        swaps=tuple(moved),
        letter_heads=tuple(f"L{layer}H{head}" for layer, head in heads),
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
