"""How far two tasks rest on the same nodes: shared sets, and agreement in rank.

The null: which node of a kind is which makes no difference. Heads change places with
heads, feed-forward blocks with feed-forward blocks, whatever their layer.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from mcq_jax.arguments import require_finite
from mcq_jax.metrics.selection import NodeIndex, node_mask


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Of two sets and the two effects that they were chosen by."""

    shared: tuple[NodeIndex, ...]
    # Shared nodes as a share of all nodes of either, by chance, and how rarely chance
    # shares as many.
    jaccard: float
    chance: float
    jaccard_p: float
    # Spearman's, of the effects' sizes over all nodes, and its one-sided p.
    rank_correlation: float
    rank_p: float


def overlap(
    first: Num[np.ndarray, "layer node"],
    second: Num[np.ndarray, "layer node"],
    sets: tuple[Collection[NodeIndex], Collection[NodeIndex]],
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> Overlap:
    """Returns how far two sets of nodes, and the effects behind them, agree.

    Args:
        first: effects on one task; their sizes are ranked.
        sets: what was chosen on each.
    """
    if first.shape != second.shape or not all(sets):
        raise ValueError(
            f"effects {first.shape} and {second.shape}, sets of {len(sets[0])} and "
            f"{len(sets[1])} nodes; give effects of one model, and nodes in both sets."
        )
    for effects in (first, second):
        require_finite(effects, "effects to rank")
    masks = [node_mask(tuple(nodes), first.shape).ravel() for nodes in sets]
    ranks = [_ranks(np.abs(effects).ravel()) for effects in (first, second)]
    is_block = np.tile(np.arange(first.shape[1]) == first.shape[1] - 1, len(first))
    generator = np.random.default_rng(seed)
    jaccards, correlations = np.zeros(permutations), np.zeros(permutations)
    for draw in range(permutations):
        order = np.arange(len(is_block))
        for kind in (is_block, ~is_block):
            order[kind] = generator.permutation(order[kind])
        jaccards[draw] = _jaccard(masks[0], masks[1][order])
        correlations[draw] = _correlation(ranks[0], ranks[1][order])
    jaccard = _jaccard(*masks)
    correlation = _correlation(*ranks)
    both = np.argwhere((masks[0] & masks[1]).reshape(first.shape)).tolist()
    return Overlap(
        shared=tuple((layer, node) for layer, node in both),
        jaccard=jaccard,
        chance=float(jaccards.mean()),
        jaccard_p=_p_value(jaccards, jaccard),
        rank_correlation=correlation,
        rank_p=_p_value(correlations, correlation),
    )


def _jaccard(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts) + (ends - 1))[index] / 2


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    u, v = first - first.mean(), second - second.mean()
    size = np.sqrt((u**2).sum() * (v**2).sum())
    return float((u * v).sum() / size) if size > 0 else 0.0


def _p_value(null: np.ndarray, found: float) -> float:
    return float((1 + (null >= found - 1e-12).sum()) / (1 + len(null)))
