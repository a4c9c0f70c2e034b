"""Plans: the rows of a sweep, and what each of them patches.

Two kinds. `NodeSets` patches any set of nodes at the answer position: masks. `Patches`
patches one site in one layer per row, at any positions: index arrays. Positions count
from the end of each prompt (-1 is the answer position), which is also how prompts of
different length are aligned with their sources. The functions below write plans.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.interventions import Node, Site, all_nodes
from mcq_jax.model.config import ModelConfig

# What tells rows of a plan apart in its results, such as layer and head.
Labels = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class NodeSets:
    """Rows that patch sets of nodes at the answer position."""

    masks: Bool[np.ndarray, "row layer node"]
    labels: Labels = dataclasses.field(default_factory=dict)

    suffix = 1

    def __post_init__(self):
        empty = np.flatnonzero(~self.masks.any(axis=(1, 2)))
        if len(empty) or not len(self.masks):
            raise ValueError(
                f"rows {empty.tolist()} of {len(self.masks)} patch no node; give every "
                "row at least one."
            )
        _check_labels(self.labels, len(self.masks))

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site.Z, Site.MLP_OUT)

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        """The first patched layer of each row."""
        return self.masks.any(axis=2).argmax(axis=1)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        """How far from the end each row's patches begin: 1, the answer position."""
        return np.ones(len(self.masks), int)

    def take(self, rows: Int[np.ndarray, " row"]) -> "NodeSets":
        labels = {name: column[rows] for name, column in self.labels.items()}
        return NodeSets(self.masks[rows], labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patches:
    """Rows that each patch one site in one layer, at some positions.

    Index arrays may have a leading axis of prompts; what a row has fewer of than
    others is filled up by repeating an index.
    """

    site: Site
    layers: Int[np.ndarray, " row"]
    # Positions from the end, -1 the answer's; where the source is read, too.
    offsets: Int[np.ndarray, "#prompt row selected"]
    source_offsets: Int[np.ndarray, "#prompt #source row selected"] | None = None
    # Query heads (at K and V kv heads) or neurons; None: all of the site.
    units: Int[np.ndarray, "row selected"] | None = None
    labels: Labels = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        rows = len(self.layers)
        if not rows or self.offsets.shape[1] != rows or self.offsets.max() >= 0:
            raise ValueError(
                f"{rows} layers and offsets {self.offsets.shape} up to "
                f"{self.offsets.max()}; give one layer per row, and offsets [prompt, "
                "row, selected] that count from the end: -1 is the answer position."
            )
        if not self.site.per_layer or self.site in (Site.SCORES, Site.ROT_Q):
            raise ValueError(
                f"a plan of {self.site}; plans patch sites of layers, patterns after "
                "the softmax and queries and keys before rotation."
            )
        _check_labels(self.labels, rows)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site,)

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return self.layers

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        """How far from the end each row's patches begin, in the earliest prompt."""
        return -self.offsets.min(axis=(0, 2))

    @property
    def suffix(self) -> int:
        """How many tokens at the end of the prompts a sweep has to keep."""
        earliest = int(self.starts.max())
        if self.source_offsets is not None:
            earliest = max(earliest, -int(self.source_offsets.min()))
        return earliest

    def take(self, rows: Int[np.ndarray, " row"]) -> "Patches":
        sources, units = self.source_offsets, self.units
        return dataclasses.replace(
            self,
            layers=self.layers[rows],
            offsets=self.offsets[:, rows],
            source_offsets=None if sources is None else sources[:, :, rows],
            units=None if units is None else units[rows],
            labels={name: column[rows] for name, column in self.labels.items()},
        )

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "Patches":
        """Returns the plan of some of the prompts, in the order given."""
        sources = self.source_offsets
        if sources is not None and len(sources) > 1:
            sources = sources[prompts]
        offsets = self.offsets[prompts] if len(self.offsets) > 1 else self.offsets
        return dataclasses.replace(self, offsets=offsets, source_offsets=sources)


Plan = NodeSets | Patches


def node_sets(sets: Sequence[Sequence[Node]], config: ModelConfig) -> NodeSets:
    """Returns one row per set of nodes."""
    masks = np.zeros((len(sets), config.layers, config.nodes), bool)
    for row, nodes in enumerate(sets):
        for node in nodes:
            if not 0 <= node.layer < config.layers or (node.head or 0) >= config.heads:
                raise ValueError(
                    f"set {row} names {node}; the model has {config.layers} layers of "
                    f"{config.heads} heads."
                )
            masks[row, node.layer, node.column(config.heads)] = True
    names = [" ".join(map(str, sorted(nodes))) for nodes in sets]
    return NodeSets(masks, {"nodes": np.array(names), "size": masks.sum((1, 2))})


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


def _check_labels(labels: Labels, rows: int) -> None:
    for name, column in labels.items():
        if len(column) != rows:
            raise ValueError(f"{len(column)} labels {name!r} for {rows} rows.")
