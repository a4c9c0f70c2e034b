"""`Claim`: what the numbers say about it: supported, contradicted, or neither."""

import dataclasses
import math

from mcq_jax.metrics import Interval
from mcq_jax.results import (
    CONTRADICTED,
    NOT_FOUND,
    SUPPORTED,
    UNDECIDED,
    UNTESTABLE,
)

__all__ = [
    "CONTRADICTED",
    "NOT_FOUND",
    "SUPPORTED",
    "UNDECIDED",
    "UNTESTABLE",
    "Claim",
    "against",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    text: str
    status: str
    why: str


def against(found: Interval, level: float) -> str:
    """Judges a claim that a mean lies above a level."""
    if not math.isfinite(found.low) or not math.isfinite(found.high):
        return UNTESTABLE
    if found.low > level:
        return SUPPORTED
    return CONTRADICTED if found.high < level else UNDECIDED
