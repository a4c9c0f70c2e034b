"""What `Ladder` found: how far a description of queries, keys and values carries."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class RungFound:
    """Something put in place of some parts of all correct-letter heads."""

    # Q, K, V, QK, QKV.
    parts: str
    # What kind of stand-in: "means", "others alike", "direction", "score-optimal",
    # "most variance", "random".
    kind: str
    name: str
    # Dimensions of a part, the most where parts differ; of a direction's rung those of
    # the means and one more. None where it has no such number.
    dimensions: int | None
    # Between the heads at their mean (0) and as they are (1), in net logits and in
    # nats. None: not identified, or nothing to recover.
    recovered: Interval | None
    recovered_loss: Interval | None
    # The same for random subspaces of as many dimensions.
    random: Interval | None = None
    # Why there is nothing; empty where there is.
    refused: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeededFound:
    """In what share of bootstrap samples so many dimensions were needed."""

    # None: more than were tried.
    dimensions: int | None
    share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartsFound:
    """How much there is to recover, and in how few dimensions it can be."""

    parts: str
    # Net logit less that with all these heads' parts at their mean, and its share.
    difference: Interval
    share: Interval
    refused: str
    # Fewest score-optimal dimensions that recover enough; None: more than were tried.
    needed: int | None
    # The same over bootstrap samples of the questions, for the same subspaces.
    needed_in_samples: tuple[NeededFound, ...]
    # Dimensions of all of the score that a linear subspace can carry, and of variance.
    of_score: int
    of_variance: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadAlone:
    """What is lost when one head alone stands at its mean, in queries, keys, values."""

    name: str
    lost: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A query or a label key in three dimensions."""

    is_query: bool
    # In the score-optimal subspace, and in a random one.
    optimal: tuple[float, ...]
    random: tuple[float, ...]
    # Of a query the right option's; of a key its own.
    place: int
    letter: str
    gold_letter: str
    seen: bool
    # Which prompt it is of.
    prompt: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cloud:
    """What one head's queries and label keys look like."""

    head: str
    prompts: tuple[str, ...]
    points: tuple[Point, ...]
    # Of the score's variance, the share that each of the two subspaces keeps.
    kept: float
    kept_random: float
    # How often the nearest label key of the query is the right one, in each of them.
    separable: float
    separable_random: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderFound:
    """One set of prompts."""

    prompts: str
    choices: int
    net: Interval
    parts: tuple[PartsFound, ...]
    rungs: tuple[RungFound, ...]
    alone: tuple[HeadAlone, ...]
    # All heads together, where `alone` has them one by one.
    together: Interval
    # Questions that means and subspaces were fitted on, and those they are read on.
    fitting_questions: int
    questions: int
    cloud: Cloud | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderFindings:
    """Queries, keys and values by nested descriptions, from their mean to all of it."""

    sets: tuple[LadderFound, ...]
    letter_heads: tuple[str, ...]
    frame: str
    # What share of the net logit counts as enough.
    enough: float
