"""`counting`: the model work done within it: tokens through layers, keys, logits.

Passes note on the host what they start. What is only traced is not run, and is not
counted: a function that is compiled as a whole notes its own work (`note_prompts`), and
one that is differentiated step by step says what its slope costs (`with_slopes`).
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from jax.core import Tracer

# A forward pass and its gradient, by FLOPs.
_WITH_SLOPE = 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amount:
    """Some model work, whatever the model's sizes."""

    # Tokens, each as often as layers it went through, and the keys that these read.
    token_layers: float = 0.0
    key_layers: float = 0.0
    # Tokens whose logits over the whole vocabulary were worked out.
    unembedded: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            token_layers=self.token_layers + other.token_layers,
            key_layers=self.key_layers + other.key_layers,
            unembedded=self.unembedded + other.unembedded,
        )

    def times(self, factor: float) -> "Amount":
        return Amount(
            token_layers=factor * self.token_layers,
            key_layers=factor * self.key_layers,
            unembedded=factor * self.unembedded,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What was run, and what it would have been without a resumed pass."""

    # Of prompts from their first token on.
    prompts: Amount = Amount()
    # Of patched rows, from where their patch begins.
    rows: Amount = Amount()
    # Had every prompt and every row been a full pass of its own, with its padding.
    as_full_passes: Amount = Amount()

    def __add__(self, other: "Work") -> "Work":
        return Work(
            prompts=self.prompts + other.prompts,
            rows=self.rows + other.rows,
            as_full_passes=self.as_full_passes + other.as_full_passes,
        )


class Counter:
    """What was noted so far."""

    def __init__(self):
        self.work = Work()


_counters: list[Counter] = []
_slopes: list[bool] = []


@contextlib.contextmanager
def counting() -> Iterator[Counter]:
    """Within it, the counter that it gives adds up what is run."""
    counter = Counter()
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


@contextlib.contextmanager
def with_slopes() -> Iterator[None]:
    """Within it, traced passes are run, and their gradients behind them."""
    _slopes.append(True)
    try:
        yield
    finally:
        _slopes.pop()


def note_prompts(
    given: Any, *, rows: int, tokens: int, layers: int, past: int = 0
) -> None:
    """Notes whole sequences through some layers; each also reads `past` keys."""
    _note("prompts", given, through_layers(rows, tokens, layers, past=past))


def note_rows(given: Any, *, rows: int, tokens: int, layers: float, keys: int) -> None:
    """Notes patched rows of so many last tokens, each reading so many keys."""
    count = rows * tokens * layers
    _note("rows", given, Amount(token_layers=count, key_layers=count * keys))


def note_full_passes(given: Any, *, rows: int, tokens: float, layers: int) -> None:
    """Notes what would have been run in place of what is noted beside it."""
    _note("as_full_passes", given, through_layers(rows, tokens, layers))


def note_unembedded(given: Any, *, tokens: float, of_rows: bool) -> None:
    """Notes tokens whose logits over the vocabulary are worked out."""
    amount = Amount(unembedded=tokens)
    _note("rows" if of_rows else "prompts", given, amount)
    _note("as_full_passes", given, amount)


def through_layers(rows: int, tokens: float, layers: int, *, past: int = 0) -> Amount:
    """Returns the work of sequences that read themselves, and so many keys before."""
    count = float(rows * tokens * layers)
    keys = count * (past + (tokens + 1) / 2)
    return Amount(token_layers=count, key_layers=keys)


def _note(kind: str, given: Any, amount: Amount) -> None:
    """Adds to all counters, unless what is given is only traced."""
    if not _counters:
        return
    if isinstance(given, Tracer):
        if not _slopes:
            return
        amount = amount.times(_WITH_SLOPE)
    for counter in _counters:
        counter.work += Work(**{kind: amount})
