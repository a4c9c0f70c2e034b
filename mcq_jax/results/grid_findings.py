"""What the mutation grid found: heads edited in one way under one mutation each."""

import dataclasses

from mcq_jax.metrics import Gate, Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridCell:
    """One edit of the correct-letter heads under one mutation."""

    variant: str
    # Net logit, -log P(right option's label) in nats, and how often it is chosen.
    net: Interval
    loss: Interval
    accuracy: Interval
    # (net - rank 0) / (intact - rank 0) under the same mutation; None: refused.
    recovered: Interval | None
    # Dimensions that are kept of queries and of keys, means over heads; None: no such.
    query_rank: float | None = None
    key_rank: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridRow:
    """One mutation: what the model does, and what is left of it under each edit."""

    # The name of the prompts, their mutation, and what it changes.
    prompts: str
    mutation: str
    changes: str
    questions: int = 0
    cells: tuple[GridCell, ...] = ()
    # D of the intact model, by the right option's place and by its letter.
    by_place: Gate | None = None
    by_letter: Gate | None = None
    # Intact minus rank 0: what the heads carry here, and as a share of the net logit.
    carried: Interval | None = None
    share: Interval | None = None
    # Why there are no recoveries, or no numbers at all; empty where there are.
    refused: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastFound:
    """A difference from the unmutated prompts that was declared beforehand."""

    name: str
    prompts: tuple[str, ...]
    # "recovered" or "carried"; whether it falls or lasts, by more than this.
    of: str
    expects: str
    by: float
    # Under the mutations minus without; None: not testable here, and why.
    difference: Interval | None
    why: str = ""

    @property
    def level(self) -> float:
        """What the difference is held against."""
        return -self.by


@dataclasses.dataclass(frozen=True, kw_only=True)
class MutationGridFindings:
    """How far the correct-letter heads' subspaces carry when prompts change."""

    rows: tuple[GridRow, ...]
    contrasts: tuple[ContrastFound, ...]
    letter_heads: tuple[str, ...]
    # Questions on which subspaces were fitted; none of them is in a row.
    fitting_questions: int
    # The prompts that tell place from letter; empty: the card has none.
    parts_from: str = ""
    # How much of the letter's directions lies among the place's, of queries and keys.
    query_overlap: float | None = None
    key_overlap: float | None = None
