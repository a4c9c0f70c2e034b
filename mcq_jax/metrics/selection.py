"""Which nodes carry the effect, and the sets to compare them with.

A node is (layer, index): heads first, the feed-forward block last, as in every node
table. A set is a tuple of nodes in rank order.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from mcq_jax.arguments import require_finite

NodeIndex = tuple[int, int]  # layer, index within the layer


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The smallest prefix of the ranking that comes to the total within a share.

    Beyond it is as far off as short of it: a node that writes more than the total waits
    for those that take it back. Nodes that write against the answer are part of what
    happens: a large one ranks with the large ones. A set without them promises more
    than it restores, because patching it leaves the opposition in place.
    """

    nodes: tuple[NodeIndex, ...]
    ranking: tuple[NodeIndex, ...]  # every node, the largest |effect| first
    cumulative_share: tuple[float, ...]  # of the total, after each node of the ranking
    share_asked: float
    share_reached: float
    reached: bool  # if not, `nodes` are the prefix that comes nearest


@dataclass(frozen=True, kw_only=True)
class RandomSet:
    """A random set matched to another one in kind and layer."""

    nodes: tuple[NodeIndex, ...]
    moved: int  # nodes from a nearby layer, their own having no free node of the kind
    shared: int  # nodes of the original set, no other of the kind being left at all


def rank(effect: Num[np.ndarray, "layer node"]) -> tuple[NodeIndex, ...]:
    """Returns all nodes from the largest effect to the smallest, by magnitude."""
    require_finite(effect, "effects to rank")
    order = np.argsort(-np.abs(effect), axis=None, kind="stable")
    layers, indices = np.unravel_index(order, effect.shape)
    return tuple(zip(layers.tolist(), indices.tolist(), strict=True))


def select(
    direct_effect: Num[np.ndarray, "layer node"],
    total_difference: float,
    *,
    share: float = 0.8,
) -> Selection:
    """Returns the smallest set whose direct effects come to the total, within a share.

    With a share of 0.8 to between 0.8 and 1.2 of it.

    Args:
      direct_effect: mean over the prompts of the choosing split.
      total_difference: mean of net(x) - net(x') over the same prompts and sources. Not
        the sum of positive effects: at thousands of nodes noise alone inflates that.
    """
    if not total_difference > 0:
        raise ValueError(
            f"A share of net(x) - net(x') needs a positive total; found "
            f"{total_difference:.3g}. Look at the gate first: without an effect there "
            "is nothing to select."
        )
    ranking = rank(direct_effect)
    effects = np.array([direct_effect[node] for node in ranking], dtype=np.float64)
    cumulative = effects.cumsum() / total_difference
    # Rounding must not ask for one more node where the sum is the share exactly.
    off = np.abs(cumulative - 1)
    enough = off <= 1 - share + 1e-6
    reached = bool(enough.any())
    size = int(enough.argmax() if reached else off.argmin()) + 1
    return Selection(
        nodes=ranking[:size],
        ranking=ranking,
        cumulative_share=tuple(cumulative.tolist()),
        share_asked=share,
        share_reached=float(cumulative[size - 1]),
        reached=reached,
    )


def next_best(selection: Selection) -> tuple[NodeIndex, ...]:
    """Returns the nodes that follow in rank, as many as were selected."""
    size = len(selection.nodes)
    return selection.ranking[size : 2 * size]


def cumulative_sets(
    ranking: tuple[NodeIndex, ...], sizes: tuple[int, ...]
) -> tuple[tuple[NodeIndex, ...], ...]:
    """Returns the first `size` nodes of the ranking for every size."""
    return tuple(ranking[:size] for size in sizes)


def random_sets(
    nodes: tuple[NodeIndex, ...], *, shape: tuple[int, int], sets: int, seed: int = 0
) -> tuple[RandomSet, ...]:
    """Returns random sets with the same kinds in the same layers as `nodes`.

    Where a layer has no free node of the kind (always so for feed-forward blocks, one
    per layer), the nearest layer that has one serves; `moved` counts these. Nodes of
    `nodes` themselves come last of all; `shared` counts them.

    Args:
      shape: (layers, nodes per layer), the feed-forward block included.
    """
    generator = np.random.default_rng(seed)
    return tuple(_random_set(nodes, shape, generator) for _ in range(sets))


def node_mask(
    nodes: tuple[NodeIndex, ...], shape: tuple[int, int]
) -> np.ndarray:  # [layer, node]
    """Returns the table that is True at the nodes of the set."""
    mask = np.zeros(shape, dtype=bool)
    for node in nodes:
        mask[node] = True
    return mask


def _random_set(
    nodes: tuple[NodeIndex, ...],
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> RandomSet:
    is_original = node_mask(nodes, shape)
    is_taken = np.zeros(shape, dtype=bool)
    drawn: dict[NodeIndex, NodeIndex] = {}
    # In random order, so that no node has the first claim on a neighbouring layer.
    for position in generator.permutation(len(nodes)):
        layer, index = nodes[position]
        is_kind = _same_kind(index, shape)
        free = is_kind & ~is_taken & ~is_original
        candidates = free if free.any() else is_kind & ~is_taken
        choice = _nearest(candidates, layer, generator)
        drawn[nodes[position]] = choice
        is_taken[choice] = True
    return RandomSet(
        nodes=tuple(drawn[node] for node in nodes),
        moved=sum(drawn[node][0] != node[0] for node in nodes),
        shared=int((is_taken & is_original).sum()),
    )


def _same_kind(index: int, shape: tuple[int, int]) -> np.ndarray:
    is_feedforward = np.arange(shape[1]) == shape[1] - 1
    return np.broadcast_to(is_feedforward == is_feedforward[index], shape)


def _nearest(
    candidates: np.ndarray, layer: int, generator: np.random.Generator
) -> NodeIndex:
    """Returns a random candidate among those in the layers nearest to `layer`."""
    layers, indices = np.nonzero(candidates)
    distance = np.abs(layers - layer)
    pick = generator.choice(np.flatnonzero(distance == distance.min()))
    return int(layers[pick]), int(indices[pick])
