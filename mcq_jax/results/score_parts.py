"""Findings about what heads' preference for the right label is made of."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadScoreParts:
    """A head's score contrast in parts, which add up to the total, before any cap."""

    head: str
    # How labels were put: a mutation, or all of them together.
    scheme: str
    total: Interval
    # a . alpha; b . beta; a . beta + b . alpha; query . gamma; mean query; the rest.
    place: Interval
    letter: Interval
    cross: Interval
    seen: Interval
    mean: Interval
    rest: Interval
    # Share of the variance that the sums explain in questions they were not fitted on.
    explained_of_queries: float
    explained_of_keys: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScorePartsFindings:
    """Why do heads prefer the right label?"""

    parts: tuple[HeadScoreParts, ...]
    questions: int
