"""What is cut and interchanged along routes, for which heads: rows of a chunk."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from mcq_jax.experiments import route_edits
from mcq_jax.experiments.head_classes import LETTER_CLASSES
from mcq_jax.experiments.route_edits import BOTH, CUT_TOKENS, ENDS, LABELS
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Node
from mcq_jax.model import ModelConfig
from mcq_jax.prompts import TokenBatch
from mcq_jax.results import EVERY_HEAD, LETTER_HEADS, RANDOM_HEADS, HeadClassesFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


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
    return tuple((h.layer, h.head) for h in found if h.head_class in LETTER_CLASSES)


def heads_of(lab: "Lab", names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Returns the heads that are named, or else the correct-letter heads."""
    if not names:
        return letter_heads(lab)
    found = [Node.parse(name) for name in names]
    config = lab.checkpoint.config
    for node in found:
        is_there = node.layer < config.layers and (node.head or 0) < config.heads
        if node.head is None or not is_there:
            raise ValueError(
                f"{node} is no head of a model of {config.layers} layers of "
                f"{config.heads} heads; name some such as L0H0."
            )
    return tuple((node.layer, node.head) for node in found if node.head is not None)


def swaps_of(
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
            Swap(
                who=LETTER_HEADS, tokens=LABELS, queries=q, keys=k, values=v, heads=own
            )
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


def mask_of(
    heads: Sequence[tuple[int, int]], config: ModelConfig
) -> Bool[np.ndarray, "layer kv_head group"]:
    """Returns which heads are named, by layer and number."""
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


def windows_of(layers: int, count: int) -> Bool[np.ndarray, "window layer"]:
    """All layers, and equal stretches of them."""
    stretches = np.array_split(np.arange(layers), min(count, layers))
    masks = [np.isin(np.arange(layers), stretch) for stretch in stretches]
    return np.stack([np.ones(layers, bool), *masks])


def cut_rows(study: Study, chunk, batch: TokenBatch, layers: np.ndarray):
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


def swap_rows(study: Study, chunk, sources, batch: TokenBatch, swaps):
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
