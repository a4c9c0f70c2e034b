"""`Wiring`: the edges of a hypothesis about the answer position, as data.

Nodes act at the answer position; what stands at earlier tokens is sorted by kind (a
label, the text of an option, …) and is a sender too. A *wire* is an edge between two
nodes, or from a kind of token to the keys or values that one head reads there.
"""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.arguments import check_kind
from mcq_jax.interventions import Edge, Node, Site
from mcq_jax.interventions.circuits import FINAL, HEAD_INPUTS, MLP_INPUTS, leads_forward

# What heads read of earlier tokens.
TOKEN_INPUTS = (Site.K, Site.V)
# Random walks tried for each wire wanted, until as many are found.
_WALKS_PER_WIRE = 100


@dataclasses.dataclass(frozen=True)
class TokenEdge:
    """What stands at all earlier tokens of a kind, as one head reads it."""

    tokens: str
    receiver: Node
    site: Site

    def __post_init__(self):
        check_kind(self.receiver, Node, "a receiver", "Node.parse reads names")
        if self.receiver.head is None or self.site not in TOKEN_INPUTS:
            raise ValueError(
                f"an edge from the tokens {self.tokens!r} into {self.receiver} at "
                f"{self.site}; heads read earlier tokens, at {Site.K} or {Site.V}."
            )

    def __str__(self) -> str:
        return f"{self.tokens} -> {self.receiver}.{self.site.label}"


Wire = Edge | TokenEdge


@dataclasses.dataclass(frozen=True)
class Wiring:
    """Some nodes and kinds of tokens, and every wire that there can be among them."""

    nodes: tuple[Node, ...]
    tokens: tuple[str, ...]

    def __post_init__(self):
        if not self.nodes:
            raise ValueError("a wiring of no nodes; name at least one.")
        for node in self.nodes:
            check_kind(node, Node, "a node of a wiring", "Node.parse reads names")
        if isinstance(self.tokens, str) or len(set(self.tokens)) < len(self.tokens):
            raise ValueError(
                f"the kinds of tokens of a wiring are {self.tokens!r}; give a tuple of "
                "names, each once."
            )
        object.__setattr__(self, "nodes", tuple(sorted(set(self.nodes))))

    @functools.cached_property
    def wires(self) -> tuple[Wire, ...]:
        """In forward order of their receivers, the model's output last."""
        found: list[Wire] = []
        for node in self.nodes:
            for site in MLP_INPUTS if node.head is None else HEAD_INPUTS:
                if site in TOKEN_INPUTS:
                    found += [TokenEdge(kind, node, site) for kind in self.tokens]
                found += [
                    Edge(s, node, site) for s in self.nodes if leads_forward(s, node)
                ]
        return (*found, *(Edge(sender, None, FINAL.site) for sender in self.nodes))

    def mask(self, wires: Iterable[Wire]) -> Bool[np.ndarray, " wire"]:
        """Returns which wires are among those given."""
        drawn = np.zeros(len(self.wires), bool)
        for wire in wires:
            if wire not in self.place:
                raise ValueError(
                    f"no wire {wire} among {len(self.nodes)} nodes and the tokens "
                    f"{', '.join(self.tokens) or 'of no kind'}; name its ends."
                )
            drawn[self.place[wire]] = True
        return drawn

    def check(self, drawn: Bool[np.ndarray, "*row wire"]) -> None:
        """Refuses a mask of other wires than there are."""
        if drawn.shape[-1] != len(self.wires):
            raise ValueError(
                f"a mask of {drawn.shape[-1]} wires, and there are {len(self.wires)}; "
                "`mask` makes one."
            )

    @functools.cached_property
    def place(self) -> dict[Wire, int]:
        return {wire: number for number, wire in enumerate(self.wires)}

    def connected(self, drawn: Bool[np.ndarray, " wire"]) -> Bool[np.ndarray, " wire"]:
        """Returns the drawn wires that lie on a way from some tokens to the output.

        The others carry nothing: their sender is as it was, or nobody hears of it.
        """
        self.check(drawn)
        chosen = [w for w, is_drawn in zip(self.wires, drawn, strict=True) if is_drawn]
        hears: set[Node] = set()
        for wire in chosen:  # receivers come in forward order
            if wire.receiver and (isinstance(wire, TokenEdge) or wire.sender in hears):
                hears.add(wire.receiver)
        heard: set[Node | None] = {None}
        for wire in reversed(chosen):
            if wire.receiver in heard and isinstance(wire, Edge):
                heard.add(wire.sender)
        kept = [
            w
            for w in chosen
            if w.receiver in heard and (isinstance(w, TokenEdge) or w.sender in hears)
        ]
        return self.mask(kept)

    def of_input(
        self, drawn: Bool[np.ndarray, "row wire"], node: Node | None, site: Site
    ) -> Bool[np.ndarray, "row sender"]:
        """Returns which senders' wires into an input are drawn."""
        return self._spread(drawn, (node, site, Edge), len(self.nodes))

    def of_tokens(
        self, drawn: Bool[np.ndarray, "row wire"], node: Node, site: Site
    ) -> Bool[np.ndarray, "row kind"]:
        """Returns which kinds of tokens an input reads."""
        return self._spread(drawn, (node, site, TokenEdge), len(self.tokens))

    def _spread(self, drawn: np.ndarray, to: tuple, senders: int) -> np.ndarray:
        found = np.zeros((len(drawn), senders), bool)
        columns, wires = self._inputs.get(to, ([], []))
        found[:, columns] = drawn[:, wires]
        return found

    @functools.cached_property
    def _inputs(self) -> dict[tuple, tuple[list[int], list[int]]]:
        """By input and sort of edge: its senders, and the wires that they are on."""
        found: dict[tuple, tuple[list[int], list[int]]] = {}
        order = {node: number for number, node in enumerate(self.nodes)}
        for number, wire in enumerate(self.wires):
            to = (wire.receiver, wire.site, type(wire))
            columns, wires = found.setdefault(to, ([], []))
            if isinstance(wire, TokenEdge):
                columns.append(self.tokens.index(wire.tokens))
            else:
                assert wire.sender is not None
                columns.append(order[wire.sender])
            wires.append(number)
        return found

    def first_layer(
        self,
        drawn: Bool[np.ndarray, "row wire"],
        brings: Bool[np.ndarray, "row wire"],
    ) -> int | None:
        """Returns the first layer that hears any news; None: none does."""
        self.check(drawn)
        self.check(brings)
        is_token = np.array([isinstance(wire, TokenEdge) for wire in self.wires])
        starts = np.flatnonzero(((drawn & is_token[None]) | brings).any(axis=0))
        receivers = [self.wires[i].receiver for i in starts]
        return min((node.layer for node in receivers if node), default=None)


def random_like(
    wiring: Wiring, drawn: Bool[np.ndarray, " wire"], generator: np.random.Generator
) -> Bool[np.ndarray, " wire"]:
    """Returns as many other wires, drawn at random, alike in input and kind of sender.

    Where fewer others are left of a sort, all of them are taken, and the rest from
    any sort.

    Raises:
        ValueError: if fewer others are left in all.
    """
    wiring.check(drawn)
    if 2 * drawn.sum() > len(drawn):
        raise ValueError(
            f"{drawn.sum()} of {len(drawn)} wires are drawn, so there are not as many "
            "others; draw half of them at most."
        )
    sorts = np.array([_sort(wire) for wire in wiring.wires])
    found = np.zeros_like(drawn)
    for sort in np.unique(sorts[drawn]):
        pool = np.flatnonzero((sorts == sort) & ~drawn)
        wanted = int((drawn & (sorts == sort)).sum())
        found[generator.permutation(pool)[:wanted]] = True
    missing = int(drawn.sum() - found.sum())
    rest: Int[np.ndarray, " wire"] = np.flatnonzero(~drawn & ~found)
    found[generator.permutation(rest)[:missing]] = True
    return found


def random_paths(
    wiring: Wiring, most: int, generator: np.random.Generator
) -> Bool[np.ndarray, " wire"]:
    """Returns wires on random ways from tokens to the output, as many as asked.

    A random walk starts at the output and goes from each node to one of what it hears,
    all alike, until it meets tokens. Walks are joined until there are as many wires;
    one that would make them too many is left out, so where no short one is left the
    wires are fewer. `connected` keeps all of them.

    Raises:
        ValueError: if there are fewer wires, or none may be drawn.
    """
    if not 1 <= most <= len(wiring.wires):
        raise ValueError(
            f"{most} wires on random paths, of {len(wiring.wires)}; ask for one of "
            "them at least, and all of them at most."
        )
    into: dict[Node | None, list[int]] = {}
    for number, wire in enumerate(wiring.wires):
        into.setdefault(wire.receiver, []).append(number)
    found = np.zeros(len(wiring.wires), bool)
    for _ in range(_WALKS_PER_WIRE * most):
        path = _random_walk(wiring, into, generator)
        if path and found.sum() + (~found[path]).sum() <= most:
            found[path] = True
        if found.sum() == most:
            break
    return found


def _random_walk(
    wiring: Wiring, into: dict[Node | None, list[int]], generator: np.random.Generator
) -> list[int]:
    """The wires of one walk from the output back to tokens; none if it meets none."""
    path: list[int] = []
    at: Node | None = None
    while at in into:
        path.append(int(generator.choice(into[at])))
        wire = wiring.wires[path[-1]]
        if isinstance(wire, TokenEdge):
            return path
        at = wire.sender
    return []


def _sort(wire: Wire) -> str:
    sender = "tokens" if isinstance(wire, TokenEdge) else "node"
    return f"{sender} {wire.site.label}"
