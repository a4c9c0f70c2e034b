"""`Circuit`: a finding as data — nodes, edges between them, and where it is from."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mcq_jax.arguments import as_json, as_path, check_kind
from mcq_jax.interventions.nodes import Node
from mcq_jax.interventions.sites import Site

FORMAT, VERSION = "mcq_jax.circuit", 1
# The site at which a receiver reads: a head's three inputs, a block's one, the end.
HEAD_INPUTS, MLP_INPUTS, OUTPUT = (Site.Q, Site.K, Site.V), (Site.MLP_IN,), "output"
EMBEDDING = "embed"


class Input(NamedTuple):
    """What a node reads: Q, K or V of a head, MLP_IN of a feed-forward block."""

    # None is the model's output: the residual stream before the final norm.
    node: Node | None
    site: Site

    def __str__(self) -> str:
        return f"{self.node}.{self.site.label}" if self.node else OUTPUT


FINAL = Input(None, Site.FINAL_RESID)


@dataclasses.dataclass(frozen=True)
class Edge:
    """What a sender writes, as one input of a receiver reads it."""

    # None is the token embedding.
    sender: Node | None
    # None is the model's output: the residual stream before the final norm.
    receiver: Node | None
    # Q, K or V of a head, MLP_IN of a feed-forward block, FINAL_RESID of the output.
    site: Site = Site.FINAL_RESID

    def __post_init__(self):
        inputs = (Site.FINAL_RESID,)
        if self.receiver is not None:
            inputs = MLP_INPUTS if self.receiver.head is None else HEAD_INPUTS
        if self.site not in inputs:
            raise ValueError(
                f"an edge into {self.receiver or OUTPUT} at {self.site}; it reads at "
                f"{' or '.join(map(str, inputs))}."
            )
        if not leads_forward(self.sender, self.receiver):
            raise ValueError(
                f"an edge from {self.sender} back to {self.receiver}; a receiver comes "
                "after its sender."
            )

    @property
    def input(self) -> Input:
        """Where the edge ends; edges that share it are read together."""
        return Input(self.receiver, self.site)

    def __str__(self) -> str:
        return f"{self.sender or EMBEDDING} -> {self.input}"

    @classmethod
    def parse(cls, text: str) -> "Edge":
        """Reads `L3H2 -> L5H1.q`, `embed -> L5MLP.mlp_in` or `L3H2 -> output`."""
        check_kind(text, str, "an edge", "write 'L3H2 -> L5H1.q' or 'L3H2 -> output'")
        match = re.fullmatch(r"(\w+) -> (?:output|(\w+)\.(\w+))", text)
        if not match:
            raise ValueError(
                f"no edge is written {text!r}; write 'L3H2 -> L5H1.q' or "
                "'L3H2 -> output'."
            )
        name, end, site = match.groups()
        sender = None if name == EMBEDDING else Node.parse(name)
        if end is None:
            return cls(sender, None)
        return cls(sender, Node.parse(end), Site.parse(site)[0])


def leads_forward(sender: Node | None, receiver: Node | None) -> bool:
    """Whether a receiver (None: output) comes after a sender (None: embedding)."""
    if sender is None or receiver is None or sender.layer < receiver.layer:
        return True
    is_block_of_head = receiver.head is None and sender.head is not None
    return sender.layer == receiver.layer and is_block_of_head


@dataclasses.dataclass(frozen=True, kw_only=True)
class Circuit:
    """Nodes in forward order, the edges between them, and what is known of both."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    # Anything that JSON can hold: model, task, method, commit, numbers.
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name, kind in (("nodes", Node), ("edges", Edge)):
            items = getattr(self, name)
            check_kind(items, (tuple, list), name, f"give a tuple of {kind.__name__}s")
            for item in items:
                check_kind(
                    item, kind, f"one of {name}", f"{kind.__name__}.parse reads text"
                )
        ends = [end for edge in self.edges for end in (edge.sender, edge.receiver)]
        unknown = sorted({end for end in ends if end is not None} - set(self.nodes))
        if unknown:
            raise ValueError(
                f"edges end at {', '.join(map(str, unknown))}, not among the nodes; "
                "list every node of the circuit."
            )
        object.__setattr__(self, "nodes", tuple(sorted(set(self.nodes))))

    def __str__(self) -> str:
        about = [f"{name}: {value}" for name, value in self.provenance.items()]
        nodes = " ".join(map(str, self.nodes))
        return "\n".join([nodes, *map(str, self.edges), *about])


def save_circuit(path: str | pathlib.Path, circuit: Circuit) -> None:
    """Writes a circuit as JSON, with nodes and edges as a person writes them."""
    path = as_path(path, "a file's path")
    check_kind(circuit, Circuit, "a circuit", "give Circuit(nodes=…, edges=…)")
    content = {
        "format": FORMAT,
        "version": VERSION,
        "nodes": [str(node) for node in circuit.nodes],
        "edges": [str(edge) for edge in circuit.edges],
        "provenance": dict(circuit.provenance),
    }
    text = as_json(content, "a circuit's provenance", indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def load_circuit(path: str | pathlib.Path) -> Circuit:
    """Reads what `save_circuit` wrote."""
    path = as_path(path, "a file's path")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}; give a circuit.") from error
    known = content if isinstance(content, dict) else {}
    if (known.get("format"), known.get("version")) != (FORMAT, VERSION):
        raise ValueError(
            f"{path} is {known.get('format')} version {known.get('version')}; "
            f"version {VERSION} of {FORMAT} is read."
        )
    try:
        return Circuit(
            nodes=tuple(map(Node.parse, known["nodes"])),
            edges=tuple(map(Edge.parse, known["edges"])),
            provenance=known["provenance"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error!r}; save it anew.") from error
