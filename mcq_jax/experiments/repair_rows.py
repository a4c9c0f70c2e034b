"""What is ablated: nodes, attention layers, role groups, and all but a set."""

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from mcq_jax import metrics
from mcq_jax.experiments.head_classes import (
    LETTER_CLASSES,
    classes_of,
    evidence_of,
)
from mcq_jax.experiments.node_effects import effects_of, per_node
from mcq_jax.interventions import Node
from mcq_jax.results import LETTER_HEADS, JointTestsFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

SELECTED, ATTENTION, RANDOM = "selected node", "attention layer", "random node"
# Role groups by the classes of their heads; feed-forward blocks are those selected.
ROLES = {
    LETTER_HEADS: LETTER_CLASSES,
    "single-letter heads": ("single_letter",),
    "amplifiers": ("amplifier",),
    "content gatherers": ("content_gatherer",),
    "negative heads": ("negative",),
}
FEEDFORWARD = "feed-forward blocks"

Mask = Bool[np.ndarray, "layer node"]
Nodes = tuple[Node, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """What is ablated and taken apart."""

    name: str
    kind: str
    mask: Mask


@dataclasses.dataclass(frozen=True, kw_only=True)
class Groups:
    """Role groups and what of them is ablated together: rows by what they stand for."""

    nodes: dict[str, Nodes]
    # The strongest nodes of each group, whose pairs are ablated too.
    strongest: dict[str, Nodes]

    def rows(self) -> dict[tuple[str, ...], Nodes]:
        """Sets to ablate by name: ("group", a), ("groups", a, b), ("nodes", x, y), …"""
        every = tuple(node for nodes in self.nodes.values() for node in nodes)
        found: dict[tuple[str, ...], Nodes] = {}
        for name, nodes in self.nodes.items():
            found["group", name] = nodes
            if len(self.nodes) > 1:
                found["without", name] = tuple(n for n in every if n not in nodes)
        for a, b in itertools.combinations(self.nodes, 2):
            found["groups", a, b] = self.nodes[a] + self.nodes[b]
        for nodes in self.strongest.values():
            for node in nodes if len(nodes) > 1 else ():
                found["node", str(node)] = (node,)
            for x, y in itertools.combinations(nodes, 2):
                found["nodes", str(x), str(y)] = (x, y)
        if every:
            found["every group",] = every
        return found


def units_of(lab: "Lab") -> tuple[Unit, ...]:
    """The selected nodes, all layers' attention, and as many nodes like the selected.

    The last are those of the first random set.
    """
    config = lab.checkpoint.config
    shape = (config.layers, config.nodes)
    chosen = selected_nodes(lab)
    columns = tuple((n.layer, n.column(config.heads)) for n in chosen)
    drawn = metrics.random_sets(columns, shape=shape, sets=1, seed=lab.config.seed)
    others = {place for one in drawn for place in one.nodes} - set(columns)
    units = [Unit(name=str(n), kind=SELECTED, mask=mask_of(lab, (n,))) for n in chosen]
    for layer in range(config.layers):
        heads = tuple(Node(layer, head) for head in range(config.heads))
        units.append(
            Unit(name=f"L{layer} attention", kind=ATTENTION, mask=mask_of(lab, heads))
        )
    for place in sorted(others):
        node = Node.at(*place, config.heads)
        units.append(Unit(name=str(node), kind=RANDOM, mask=mask_of(lab, (node,))))
    return tuple(units)


def sets_of(lab: "Lab", draws: int) -> dict[tuple[str, ...], Mask]:
    """The selected set and random ones: they alone ablated, and all but them."""
    config = lab.checkpoint.config
    shape = (config.layers, config.nodes)
    chosen = mask_of(lab, selected_nodes(lab))
    columns = tuple(zip(*(axis.tolist() for axis in np.nonzero(chosen)), strict=True))
    drawn = metrics.random_sets(columns, shape=shape, sets=draws, seed=lab.config.seed)
    found: dict[tuple[str, ...], Mask] = {("everything",): np.ones(shape, bool)}
    named = [("selected", chosen)] + [
        (f"random {number}", metrics.node_mask(one.nodes, shape))
        for number, one in enumerate(drawn)
    ]
    for name, mask in named:
        found["set", name] = mask
        if not mask.all():
            found["all but", name] = ~mask
    return found


def selected_nodes(lab: "Lab") -> Nodes:
    names = lab.findings(JointTestsFindings).selection.nodes
    return tuple(map(Node.parse, names))


def groups_of(lab: "Lab", thresholds: metrics.Thresholds, *, strongest: int) -> Groups:
    """Role groups by the questions on which nodes were chosen.

    Args:
        strongest: how many nodes of a group, by direct effect, are paired.
    """
    study = lab.studied
    _, evidence = classes_of(lab, thresholds)
    chosen = evidence_of(lab, evidence.resampled_direct_effect, prompts=study.choosing)
    classes = lab.decide(
        tuple[metrics.HeadClass, ...],
        lambda: metrics.classify_heads(chosen, thresholds),
    )
    nodes = {
        role: tuple(Node(c.layer, c.head) for c in classes if c.name in names)
        for role, names in ROLES.items()
    }
    nodes[FEEDFORWARD] = tuple(n for n in selected_nodes(lab) if n.head is None)
    nodes = {role: found for role, found in nodes.items() if found}
    direct = np.abs(per_node(effects_of(lab).direct)[study.choosing].mean(axis=0))
    heads = lab.checkpoint.config.heads

    def size(node: Node) -> float:
        return -float(direct[node.layer, node.column(heads)])

    return Groups(
        nodes=nodes,
        strongest={
            role: tuple(sorted(sorted(found, key=size)[:strongest]))
            for role, found in nodes.items()
        },
    )


def mask_of(lab: "Lab", nodes: Nodes) -> Mask:
    config = lab.checkpoint.config
    places = tuple((node.layer, node.column(config.heads)) for node in nodes)
    return metrics.node_mask(places, (config.layers, config.nodes))
