"""`Truth`: what a planted model is made of and which effects follow from it."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Float

from mcq_jax.interventions import Node
from mcq_jax.planted import ideal
from mcq_jax.planted.ideal import Facts
from mcq_jax.planted.parts import Fate, Part


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """A node's mean effects in net logits, over all golds and sources of one kind.

    Labels are A, B, C, … in order. None where it depends on the questions' words.
    """

    direct: float
    total: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """The known answers about one planted model, for `choices` options."""

    choices: int
    # Every node of the model, heads and blocks.
    parts: Mapping[Node, Part]
    layers: int
    heads: int
    # How much the circuit goes by the line's number; the rest is by its letter.
    by_position: float

    # The four sets that methods should find share no node and leave none out.
    @property
    def output(self) -> frozenset[Node]:
        return self.nodes_of(Fate.OUTPUT)

    @property
    def upstream_last(self) -> frozenset[Node]:
        return self.nodes_of(Fate.UPSTREAM_LAST)

    @property
    def upstream_elsewhere(self) -> frozenset[Node]:
        return self.nodes_of(Fate.UPSTREAM_ELSEWHERE)

    @property
    def inert(self) -> frozenset[Node]:
        return self.nodes_of(Fate.INERT)

    @property
    def classes(self) -> dict[Node, str]:
        """The class of every head."""
        return {n: p.head_class for n, p in self.parts.items() if n.head is not None}

    @property
    def roles(self) -> dict[Node, str]:
        """What every node is in the story, in words."""
        return {node: part.role for node, part in self.parts.items()}

    def nodes_of(self, fate: Fate) -> frozenset[Node]:
        return frozenset(n for n, part in self.parts.items() if part.fate is fate)

    def playing(self, role: str) -> tuple[Node, ...]:
        """The nodes with a role, in order."""
        found = tuple(sorted(n for n, p in self.parts.items() if p.role == role))
        if not found:
            known = sorted({part.role for part in self.parts.values()})
            raise ValueError(f"no node is a {role!r}; the roles are {known}.")
        return found

    def answer_logits(self, prompt: Facts) -> Float[np.ndarray, " choice"]:
        return self._run(prompt).last.out[_letters(prompt)]

    def contributions(
        self, prompt: Facts, *, read_as: Facts | None = None
    ) -> Float[np.ndarray, "layer node choice"]:
        """Returns what each node writes to each answer logit.

        Args:
          read_as: the prompt whose answers are meant, if `prompt` is its source.
        """
        letters = _letters(read_as or prompt)
        table = np.zeros((self.layers, self.heads + 1, len(letters)))
        for node, written in self._run(prompt).writes.items():
            table[node.layer, node.column(self.heads)] = written.out[letters]
        return table

    def patched_logits(
        self, prompt: Facts, source: Facts
    ) -> Float[np.ndarray, "layer node choice"]:
        """Returns the answer logits after each node's output came from the source."""
        clean = self._run(prompt)
        logits = clean.last.out[_letters(prompt)]
        table = np.tile(logits, (self.layers, self.heads + 1, 1))
        for node, written in self._run(source).writes.items():
            if written.says_the_same_as(clean.writes[node]):
                continue
            patched = self._run(prompt, writes={node: written})
            column = node.column(self.heads)
            table[node.layer, column] = patched.last.out[_letters(prompt)]
        return table

    def written(self, prompt: Facts) -> Mapping[Node, ideal.LastToken]:
        """Returns what every node that acts at the last token writes there."""
        return self._run(prompt).writes

    def written_under(
        self, prompt: Facts, writes: Mapping[Node, ideal.LastToken]
    ) -> Mapping[Node, ideal.LastToken]:
        """Returns the same while some nodes write something else (an ablation).

        `ideal.NOTHING` is zero ablation; a mean, or another prompt's, are the others.
        """
        return self._run(prompt, writes=writes).writes

    def logits_after_query_swap(
        self, base: Facts, source: Facts, nodes: Collection[Node]
    ) -> Float[np.ndarray, " choice"]:
        """Returns the base's answer logits with queries of `nodes` from the source.

        Meant for heads that point at labels; for the others see `patched_logits`.
        """
        asked = self._run(source).found
        swapped = self._run(base, finds={node: asked[node] for node in nodes})
        return swapped.last.out[_letters(base)]

    def effects(self, kind: str) -> dict[Node, Effect]:
        """Returns every node's mean effects for sources of one kind.

        A correct-letter head that writes c with sharpness b has, with
        p = e^b / (e^b + n - 1) and o = 1 / (e^b + n - 1): DLA = c (p - o), and for the
        kinds `rotation` and `other` DE = DLA n / (n - 1) and TE = DE times the gains
        of the amplifiers behind it.
        """
        pairs = _pairs(kind, self.choices)
        direct = np.mean([self._direct(*pair) for pair in pairs], axis=0)
        total = np.mean([self._total(*pair) for pair in pairs], axis=0)
        return {
            node: Effect(
                direct=float(direct[node.layer, node.column(self.heads)]),
                total=None
                if kind != "rotation" and self._reads_words(node)
                else float(total[node.layer, node.column(self.heads)]),
            )
            for node in self.parts
        }

    def direct_logit_attribution(self) -> dict[Node, float]:
        """Returns every node's mean net contribution over balanced golds."""
        prompts = [_prompt(gold, self.choices) for gold in range(self.choices)]
        table = np.mean([_net(self.contributions(p), p.gold) for p in prompts], axis=0)
        return {n: float(table[n.layer, n.column(self.heads)]) for n in self.parts}

    def _run(self, prompt: Facts, **changes: Mapping[Node, ideal.LastToken]):
        acting = {
            node: part.rule
            for node, part in self.parts.items()
            if part.rule is not ideal.writes_nothing
        }
        return ideal.run(acting, prompt, **changes)

    def _direct(self, prompt: Facts, source: Facts) -> np.ndarray:
        change = self.contributions(prompt)
        change = change - self.contributions(source, read_as=prompt)
        return _net(change, prompt.gold)

    def _total(self, prompt: Facts, source: Facts) -> np.ndarray:
        clean = _net(self.answer_logits(prompt), prompt.gold)
        return clean - _net(self.patched_logits(prompt, source), prompt.gold)

    def _reads_words(self, node: Node) -> bool:
        return self.parts[node].role == "reader head"


def _pairs(kind: str, choices: int) -> list[tuple[Facts, Facts]]:
    """All golds with all sources of a kind."""
    lines = range(choices)
    golds = [(a, b) for a in lines for b in lines if (a == b) == (kind == "placebo")]
    if kind not in ("rotation", "other", "placebo"):
        raise ValueError(
            f"{kind!r} is no kind of source; ask for rotation, other or placebo."
        )
    return [(_prompt(a, choices), _prompt(b, choices)) for a, b in golds]


def _prompt(gold: int, choices: int) -> Facts:
    """A rotation of one question, with labels in order."""
    options = tuple((line - gold) % choices for line in range(choices))
    return Facts(asked=0, options=options, letters=tuple(range(choices)))


def _letters(prompt: Facts) -> np.ndarray:
    return np.array(prompt.letters)


def _net(logits: np.ndarray, gold: int) -> np.ndarray:
    others = np.delete(logits, gold, axis=-1)
    return logits[..., gold] - others.mean(axis=-1)
