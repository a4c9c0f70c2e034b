"""The usual plans: every node, head, position or span, and sets of nodes."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.interventions import Node, Site, all_nodes
from mcq_jax.model.config import ModelConfig
from mcq_jax.passes.node_sets import NodeSets
from mcq_jax.passes.patches import Patches


def node_sets(
    sets: Sequence[Sequence[Node]],
    config: ModelConfig,
    *,
    kept: Sequence[Sequence[Node]] | None = None,
) -> NodeSets:
    """Returns one row per set of nodes.

    Args:
        kept: for every set, nodes that write what they write in the patched prompt's
            own run, whatever reaches them.
    """
    masks, names = _masks(sets, config), _names(sets)
    labels = {"nodes": names, "size": masks.sum((1, 2))}
    if kept is None:
        return NodeSets(masks, labels)
    if len(kept) != len(sets):
        raise ValueError(
            f"{len(sets)} sets to patch and {len(kept)} to keep; give one for each."
        )
    return NodeSets(masks, {**labels, "kept": _names(kept)}, _masks(kept, config))


def _masks(
    sets: Sequence[Sequence[Node]], config: ModelConfig
) -> Bool[np.ndarray, "row layer node"]:
    masks = np.zeros((len(sets), config.layers, config.nodes), bool)
    for row, nodes in enumerate(sets):
        for node in nodes:
            if not 0 <= node.layer < config.layers or (node.head or 0) >= config.heads:
                raise ValueError(
                    f"set {row} names {node}; the model has {config.layers} layers of "
                    f"{config.heads} heads."
                )
            masks[row, node.layer, node.column(config.heads)] = True
    return masks


def _names(sets: Sequence[Sequence[Node]]) -> np.ndarray:
    return np.array([" ".join(map(str, sorted(nodes))) for nodes in sets])


def every_node(config: ModelConfig) -> NodeSets:
    """Returns one row per node of the model, in the order of `all_nodes`."""
    nodes = all_nodes(config.layers, config.heads)
    count = len(nodes)
    masks = np.eye(count, dtype=bool).reshape(count, config.layers, -1)
    labels = {
        "node": np.array([str(node) for node in nodes]),
        "layer": np.array([node.layer for node in nodes]),
        "head": np.array([-1 if n.head is None else n.head for n in nodes]),
    }
    return NodeSets(masks, labels)


def cumulative(ranking: Sequence[Node], config: ModelConfig) -> NodeSets:
    """Returns the first node, the first two, … of a ranking."""
    return node_sets([ranking[: n + 1] for n in range(len(ranking))], config)


def leave_one_out(nodes: Sequence[Node], config: ModelConfig) -> NodeSets:
    """Returns a set without each of its nodes in turn."""
    sets = [[other for other in nodes if other != node] for node in nodes]
    left_out = np.array([str(node) for node in nodes])
    plan = node_sets(sets, config)
    return NodeSets(plan.masks, {**plan.labels, "left_out": left_out})


def pairs(nodes: Sequence[Node], config: ModelConfig) -> NodeSets:
    """Returns every two of the nodes: what they do together less what each does."""
    sets = [(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :]]
    return node_sets(sets, config)


def every_unit(
    site: Site, config: ModelConfig, *, group: int = 1, offsets: Sequence[int] = (-1,)
) -> Patches:
    """Returns one row per head (kv head of K and V), or group of neurons, per layer.

    Args:
        site: such as Q, K, V, Z, PATTERN (a head's whole row), MLP_POST.
        group: how many neighbouring heads or neurons a row patches.
        offsets: positions from the end, patched together; -1 is the answer position.
    """
    counts = {"head": config.heads, "neuron": config.neurons}
    if site.unit is None:
        raise ValueError(f"{site} has neither heads nor neurons; use `every_layer`.")
    count = counts[site.unit]
    if "head" == site.unit and "group" not in site.axes:
        count = config.kv_heads
    if count % group:
        raise ValueError(
            f"groups of {group} of {count} {site.unit}s; give a divisor of {count}."
        )
    firsts = np.tile(np.arange(0, count, group), config.layers)
    layers = np.repeat(np.arange(config.layers), count // group)
    return Patches(
        site=site,
        layers=layers,
        units=firsts[:, None] + np.arange(group),
        offsets=_same_for_all(offsets, len(layers)),
        labels={"layer": layers, site.unit: firsts},
    )


def every_layer(
    site: Site, config: ModelConfig, *, offsets: Sequence[int] = (-1,)
) -> Patches:
    """Returns one row per layer, which patches the whole site at some positions."""
    layers = np.arange(config.layers)
    return Patches(
        site=site,
        layers=layers,
        offsets=_same_for_all(offsets, len(layers)),
        labels={"layer": layers},
    )


def every_position(
    site: Site, config: ModelConfig, *, tokens: int, layers: Sequence[int] | None = None
) -> Patches:
    """Returns one row per layer and each of the last `tokens` positions."""
    chosen = np.arange(config.layers) if layers is None else np.asarray(layers)
    offsets = np.tile(np.arange(-tokens, 0), len(chosen))
    by_row = np.repeat(chosen, tokens)
    return Patches(
        site=site,
        layers=by_row,
        offsets=offsets[None, :, None],
        labels={"layer": by_row, "offset": offsets},
    )


def every_span(
    site: Site,
    spans: Mapping[str, Int[np.ndarray, "prompt selected"]],
    lengths: Int[np.ndarray, " prompt"],
    config: ModelConfig,
    *,
    layers: Sequence[int] | None = None,
) -> Patches:
    """Returns one row per layer and named span (see `prompts.span_positions`).

    Args:
        spans: name to positions from the start, as `span_positions` gives them.
        lengths: of the prompts, in tokens.
    """
    chosen = np.arange(config.layers) if layers is None else np.asarray(layers)
    widest = max(positions.shape[1] for positions in spans.values())
    columns = []
    for positions in spans.values():
        fill = np.repeat(positions[:, -1:], widest - positions.shape[1], axis=1)
        columns.append(np.concatenate([positions, fill], axis=1))
    offsets = np.stack(columns, axis=1) - np.asarray(lengths)[:, None, None]
    by_row = np.repeat(chosen, len(spans))
    return Patches(
        site=site,
        layers=by_row,
        offsets=np.tile(offsets, (1, len(chosen), 1)),
        labels={"layer": by_row, "span": np.tile(np.array(list(spans)), len(chosen))},
    )


def _same_for_all(
    offsets: Sequence[int], rows: int
) -> Int[np.ndarray, "1 row selected"]:
    return np.tile(np.array(offsets, int), (1, rows, 1))
