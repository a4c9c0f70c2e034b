"""Path patching along random edges, against runs of the reference that follow them.

By definition, one receiver after the other: its clean input with what its senders
changed by, put through the reference; what it makes of that is its own change. Nothing
of ours is used but the names of edges.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcq_jax import model
from mcq_jax.interventions import Edge, Node, Site, all_nodes
from mcq_jax.model import ModelConfig
from mcq_jax.paths import PATH_SITES, patch_paths
from tests.fuzz.comparing import Pairs
from tests.fuzz.drawing import Random, pick
from tests.fuzz.reference import Watched

ROWS = 2
_READ = frozenset(
    (
        "embed", "resid_pre", "attn_scale", "q", "rot_k", "v", "head_out", "resid_mid",
        "mlp_scale", "mlp_out", "final_resid", "final_scale",
    )
)  # fmt: skip
# What the reference holds where a receiver's query, keys or values are read. (Keys
# that have turned: there edits that one head reads are made.)
_INPUTS = {Site.Q: "q", Site.K: "rot_k", Site.V: "v"}

Held = dict[tuple[str, int], np.ndarray]


def run(pair, watched: Watched, shape: Random, data: Random, folder):
    """Several edges at once: meeting in a receiver, or one behind the other."""
    config, parameters = pair.ours.config, pair.ours.parameters
    positions = pick(shape, 5, 8)
    tokens = data.integers(config.vocabulary, size=(2, ROWS, positions))
    edges = _draw_edges(config, pick(shape, 1, 2, 4), shape)
    where = {
        edge: data.permutation(positions)[:2]
        for edge in edges
        if pick(shape, True, False, False)
    }
    frozen = pick(shape, False, False, True)
    asked = f"{list(map(str, edges))} at {where}, norms frozen {frozen}"
    clean, source = (
        model.forward(parameters, some, config=config, capture=PATH_SITES).activations
        for some in tokens
    )
    edits = patch_paths(
        parameters, clean, source, edges, config=config, positions=where,
        freeze_norms=frozen,
    )  # fmt: skip
    found = model.forward(parameters, tokens[0], edits, config=config).logits

    def pairs() -> Pairs:
        yield "logits", found, _followed(watched, config, tokens, edges, where, frozen)

    return asked, pairs


def _draw_edges(config, count: int, shape: Random) -> list[Edge]:
    nodes = all_nodes(config.layers, config.heads)
    edges: list[Edge] = []
    while len(edges) < count:
        before = [edge.receiver for edge in edges if edge.receiver is not None]
        sender = pick(shape, None, *nodes, *before * 3)
        later = [n for n in nodes if _is_before(sender, n)]
        receiver = pick(shape, None, *later, *later)
        site = Site.FINAL_RESID
        if receiver is not None:
            site = Site.MLP_IN if receiver.head is None else pick(shape, *_INPUTS)
        edge = Edge(sender, receiver, site)
        if edge not in edges:
            edges.append(edge)
    return edges


def _is_before(sender: Node | None, node: Node) -> bool:
    if sender is None:
        return True
    if sender.layer != node.layer:
        return sender.layer < node.layer
    return sender.head is not None and node.head is None


def _followed(watched, config, tokens, edges: Sequence[Edge], where, frozen: bool):
    """Logits of the clean run in which edges alone change."""
    follow = _Following(watched, config, tokens, edges, where, frozen)
    for layer in range(config.layers):
        follow.through(layer)
    return follow.logits()


@dataclasses.dataclass
class _Following:
    watched: Watched
    config: ModelConfig
    tokens: np.ndarray
    edges: Sequence[Edge]
    where: dict[Edge, np.ndarray]
    frozen: bool

    def __post_init__(self):
        self.clean = self._run({})[1]
        self.source = self._run({}, of_source=True)[1]
        self.changes: dict[Node | None, np.ndarray] = {}
        # What receivers came to read, or (feed-forward blocks) to write.
        self.readings: dict[tuple[Node, Site], np.ndarray] = {}

    def through(self, layer: int) -> None:
        here = {
            (e.receiver, e.site)
            for e in self.edges
            if e.receiver is not None and e.receiver.layer == layer
        }
        heads = [to for to in here if to[1] in _INPUTS]
        for node, site in heads:
            puts = {("resid_pre", layer): self._moved("resid_pre", layer, node, site)}
            held = self._run(puts | self._scale("attn_scale", layer))[1]
            self.readings[node, site] = held[_INPUTS[site], layer]
        if heads:
            held = self._run({}, receivers=heads)[1]
            for node in {node for node, _ in heads}:
                self.changes[node] = self._of_head(held, node)
        for node, site in here:
            if site is Site.MLP_IN:
                mid = self._moved("resid_mid", layer, node, site)
                puts = {("resid_mid", layer): mid} | self._scale("mlp_scale", layer)
                out = self._run(puts)[1]["mlp_out", layer]
                self.readings[node, site] = out
                self.changes[node] = out - self.clean["mlp_out", layer]

    def logits(self) -> np.ndarray:
        puts: Held = {}
        if any(edge.receiver is None for edge in self.edges):
            puts["final_resid", 0] = self._moved(
                "final_resid", 0, None, Site.FINAL_RESID
            )
            puts |= self._scale("final_scale", 0)
        return self._run(puts, receivers=self.readings)[0]

    def _scale(self, site: str, layer: int) -> Held:
        return {(site, layer): self.clean[site, layer]} if self.frozen else {}

    def _moved(self, stream: str, layer: int, node, site) -> np.ndarray:
        """The clean input of a receiver with what edges into it bring."""
        total = self.clean[stream, layer].copy()
        for edge in self.edges:
            if (edge.receiver, edge.site) == (node, site):
                spots = self.where.get(edge, slice(None))
                total[:, spots] += self._change(edge.sender)[:, spots]
        return total

    def _change(self, sender: Node | None) -> np.ndarray:
        if sender in self.changes:
            return self.changes[sender]
        if sender is None:
            return self.source["embed", 0] - self.clean["embed", 0]
        if sender.head is not None:
            return self._of_head(self.source, sender)
        spot = "mlp_out", sender.layer
        return self.source[spot] - self.clean[spot]

    def _of_head(self, held: Held, node: Node) -> np.ndarray:
        unit = divmod(node.head or 0, self.config.group)
        spot = "head_out", node.layer
        return (held[spot] - self.clean[spot])[:, :, unit[0], unit[1]]

    def _spots(self, node: Node, site: Site) -> np.ndarray:
        """Where a receiver reads otherwise, `[row, position]`."""
        there = np.zeros(self.tokens.shape[1:], bool)
        for edge in self.edges:
            if (edge.receiver, edge.site) == (node, site):
                there[:, self.where.get(edge, slice(None))] = True
        return there

    def _run(self, puts: Held, *, of_source=False, receivers=()):
        """Logits, and all that is read, with some sites put and receivers' readings."""
        held: Held = {}

        def visit(site: str, layer: int, x: np.ndarray) -> np.ndarray:
            x = puts.get((site, layer), x)
            for node, of in receivers:
                unit = divmod(node.head or 0, self.config.group)
                here: Any = None
                if site == "q" and of is Site.Q:
                    here = (slice(None), slice(None), *unit)
                elif site == "mlp_out" and of is Site.MLP_IN:
                    here = slice(None)
                if here is not None and node.layer == layer:
                    there = self._spots(node, of)[..., None]
                    x = x.copy()
                    x[here] = np.where(there, self.readings[node, of][here], x[here])
            held[site, layer] = x
            return x

        def versions(site: str, layer: int, x: np.ndarray):
            found = []
            for node, of in receivers:
                if of is Site.Q or _INPUTS.get(of) != site or node.layer != layer:
                    continue
                kv_head, group = divmod(node.head or 0, self.config.group)
                there = self._spots(node, of)[..., None]
                edited = x.copy()
                new = self.readings[node, of][:, :, kv_head]
                edited[:, :, kv_head] = np.where(there, new, x[:, :, kv_head])
                readers = np.zeros(
                    (1, x.shape[1], self.config.kv_heads, self.config.group), bool
                )
                readers[..., kv_head, group] = True
                found.append((edited, readers))
            return found

        tokens = self.tokens[int(of_source)]
        logits = self.watched.run(tokens, visit, wanted=_READ, versions=versions)
        return logits, held
