"""What one task's sets and subspaces are worth on another."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFound:
    """One task: whether there is anything to transfer, and what was chosen on it."""

    name: str
    # Why it was studied, or not.
    gate: str
    is_studied: bool
    nodes: tuple[str, ...]
    # Share of its effect that the nodes' direct effects reach; None: not studied.
    reached: float | None
    # By which nodes were chosen, and on which they are tested.
    questions: int
    held_out_questions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetTransferred:
    """A set patched on the held-out questions of a task."""

    # The task by which it was chosen, and the one on which it is tested.
    source: str
    target: str
    # "own", "other task", "random", "next best"
    kind: str
    size: int
    # None with a reason where the denominator's interval includes 0.
    sufficiency: Interval | None
    necessity: Interval | None
    refused: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TasksOverlap:
    """How far two tasks rest on the same nodes."""

    first: str
    second: str
    shared: tuple[str, ...]
    jaccard: float
    # Of sets with the same heads and blocks drawn anew, and how rarely they share more.
    jaccard_chance: float
    jaccard_p: float
    # Of the sizes of direct effects over all nodes.
    rank_correlation: float
    rank_p: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubspaceTransferred:
    """Class-mean subspaces of correct-letter heads kept on a task's questions."""

    # Where directions are from, and where they are kept.
    source: str
    target: str
    # "queries", "keys", "queries and keys"
    parts: str
    # "own", "other task", "random"
    kind: str
    heads: tuple[str, ...]
    rank: int
    # Between all heads at their mean together and intact; None with a reason.
    recovered: Interval | None
    refused: str
    # What is lost at rank 0 as a share of the task's net logit; None: no net logit.
    carried: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferFindings:
    """Does what was found on one task hold for another?"""

    tasks: tuple[TaskFound, ...]
    sets: tuple[SetTransferred, ...]
    overlaps: tuple[TasksOverlap, ...]
    subspaces: tuple[SubspaceTransferred, ...]
    # The recovery from which a set counts as carried over; as the card had it.
    level: float | None = None
