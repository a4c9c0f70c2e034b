"""The circuit as arithmetic: what each part does to the last token, without weights.

This is the ground truth that the network is held against. It knows a prompt only by
its `Facts` and takes every hard choice as exact; all that is left to compute are a few
softmaxes over the labels.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int

from mcq_jax.interventions import Node
from mcq_jax.planted.channels import LETTERS, WORDS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the circuit sees of a prompt."""

    # Which word is asked for.
    asked: int
    # Which word stands on each line.
    options: tuple[int, ...]
    # Which letter labels each line: (0, 1, 2, …) for A, B, C, …
    letters: tuple[int, ...]

    @property
    def gold(self) -> int:
        """The line that holds the word asked for."""
        return self.options.index(self.asked)


def _zeros(size: int):
    return dataclasses.field(default_factory=lambda: np.zeros(size))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LastToken:
    """What the last token's residual stream says, in the channels that matter there."""

    target: Float[np.ndarray, " word"] = _zeros(WORDS)
    found_ordinal: Float[np.ndarray, " line"] = _zeros(LETTERS)
    found_letter: Float[np.ndarray, " letter"] = _zeros(LETTERS)
    wanted_ordinal: Float[np.ndarray, " line"] = _zeros(LETTERS)
    wanted_letter: Float[np.ndarray, " letter"] = _zeros(LETTERS)
    out: Float[np.ndarray, " letter"] = _zeros(LETTERS)
    # How many correct-letter heads have spoken: while all have, the backup rests.
    flag: Float[np.ndarray, " one"] = _zeros(1)

    def __add__(self, other: "LastToken") -> "LastToken":
        return LastToken(
            target=self.target + other.target,
            found_ordinal=self.found_ordinal + other.found_ordinal,
            found_letter=self.found_letter + other.found_letter,
            wanted_ordinal=self.wanted_ordinal + other.wanted_ordinal,
            wanted_letter=self.wanted_letter + other.wanted_letter,
            out=self.out + other.out,
            flag=self.flag + other.flag,
        )

    def says_the_same_as(self, other: "LastToken") -> bool:
        return all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name))
            for field in dataclasses.fields(self)
        )


NOTHING = LastToken()

# What a part writes to the last token, from what it finds there and in the prompt.
Rule = Callable[[LastToken, Facts], LastToken]


def writes_nothing(token: LastToken, facts: Facts) -> LastToken:
    """The rule of every part that does not act at the last token."""
    return NOTHING


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """One run of the circuit."""

    # What each node with a rule wrote to the last token.
    writes: Mapping[Node, LastToken]
    # What each of them found there: the last token before its layer's attention, or
    # before the feed-forward block.
    found: Mapping[Node, LastToken]
    # The last token in the end; `out` holds the answer logits, one per letter.
    last: LastToken


def run(
    rules: Mapping[Node, Rule],
    facts: Facts,
    *,
    writes: Mapping[Node, LastToken] | None = None,
    finds: Mapping[Node, LastToken] | None = None,
) -> Trace:
    """Returns what happens at the last token.

    Args:
      writes: nodes whose output at the last token is replaced (a patch).
      finds: nodes that find another last token than the run's (a swap of queries).
    """
    writes, finds = writes or {}, finds or {}
    token, written, found = NOTHING, {}, {}
    for group in _in_order(rules):
        before = token
        for node in group:
            found[node] = finds.get(node, before)
            written[node] = writes.get(node) or rules[node](found[node], facts)
            token = token + written[node]
    return Trace(writes=written, found=found, last=token)


def _in_order(rules: Mapping[Node, Rule]) -> list[list[Node]]:
    """Nodes that act at once: a layer's heads, then its feed-forward block."""
    groups: dict[tuple[int, bool], list[Node]] = {}
    for node in rules:
        groups.setdefault((node.layer, node.head is None), []).append(node)
    return [groups[key] for key in sorted(groups)]


def label_shares(scores: Float[np.ndarray, " choice"]) -> Float[np.ndarray, " choice"]:
    """Returns the softmax over the labels."""
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def on_letters(
    values: Float[np.ndarray, " choice"], letters: Int[np.ndarray, " choice"]
) -> Float[np.ndarray, " letter"]:
    """Returns one value per letter from one value per line."""
    spread = np.zeros(LETTERS)
    spread[letters] = values
    return spread


def one_hot(index: int, size: int) -> Float[np.ndarray, " size"]:
    return np.eye(size)[index]
