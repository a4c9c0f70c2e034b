"""Findings about subspaces that were learned."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedFound:
    """One variable in front of one layer, read on one form of swaps.

    Shares of interchanges after which the base answers as told, of rows whose targets
    (this and the arbitrary one) are other answers than the base's own.
    """

    variable: str
    layer: int
    # How the prompts that were read are put; the questions were not learned on.
    form: str
    learned: Interval
    # An arbitrary target of the same variable, learned as long.
    control: Interval
    # The read part's share less that of the arbitrary target's read part (of files from
    # before `control_read_part`: `learned` less `control`).
    margin: Interval
    # Of the class means' subspace, which is not learned; of the whole residual.
    class_means: Interval
    whole: Interval
    # Of the learned subspace without what nothing downstream reads; that share of it.
    read_part: Interval
    unread_share: float
    # Whether it moves answers less without the part that nothing reads.
    is_illusion: bool
    # Fewer than 20 questions on a side.
    too_few: bool
    # Of the arbitrary target's subspace, likewise without what nothing reads.
    control_read_part: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedSubspacesFindings:
    """Is a place, or a letter, held in a few dimensions?"""

    found: tuple[LearnedFound, ...]
    rank: int
    steps: int
    # Questions that subspaces were learned on, and read on: none are both.
    learned_questions: int
    read_questions: int
