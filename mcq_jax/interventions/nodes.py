"""Nodes: the heads and feed-forward blocks that write into the residual stream."""

import dataclasses
import re

from mcq_jax.arguments import as_integer, check_kind


@dataclasses.dataclass(frozen=True)
class Node:
    """A head of a layer, or (head None) the layer's feed-forward block (MLP).

    In node arrays `[layer, node]` the heads come first and the MLP is last.
    """

    layer: int
    head: int | None = None

    def __str__(self) -> str:
        unit = "MLP" if self.head is None else f"H{self.head}"
        return f"L{self.layer}{unit}"

    def __lt__(self, other: "Node") -> bool:
        """The order of `all_nodes`: within a layer the feed-forward block is last."""
        return self._place < other._place

    @property
    def _place(self) -> tuple[int, bool, int]:
        return (self.layer, self.head is None, self.head or 0)

    @classmethod
    def parse(cls, name: str) -> "Node":
        check_kind(name, str, "a node's name", "write L3H2 or L3MLP")
        match = re.fullmatch(r"L(\d+)(?:H(\d+)|MLP)", name)
        if not match:
            raise ValueError(f"no node is called {name!r}; write L3H2 or L3MLP.")
        head = match.group(2)
        return cls(int(match.group(1)), None if head is None else int(head))

    def column(self, heads: int) -> int:
        """The node's place on the node axis of a model with `heads` query heads."""
        return heads if self.head is None else self.head

    @classmethod
    def at(cls, layer: int, column: int, heads: int) -> "Node":
        """The node that stands at `[layer, column]` of a node array."""
        return cls(layer, None if column == heads else column)


def all_nodes(layers: int, heads: int) -> tuple[Node, ...]:
    """Every node of a model, in the order of a flattened `[layer, node]` array."""
    layers, heads = as_integer(layers, "layers"), as_integer(heads, "heads")
    return tuple(
        Node.at(layer, column, heads)
        for layer in range(layers)
        for column in range(heads + 1)
    )
