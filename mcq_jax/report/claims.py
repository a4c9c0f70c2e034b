"""`Claim`: what the numbers say about it: supported, contradicted, or neither."""

import dataclasses
import math

from mcq_jax.metrics import Interval

SUPPORTED, CONTRADICTED = "supported", "contradicted"
NOT_FOUND, UNDECIDED = "not found", "undecided"
UNTESTABLE = "not testable here"


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
