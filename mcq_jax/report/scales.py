"""From numbers to places on a colour map or a bar."""

import math
from collections.abc import Iterable


def largest(values: Iterable[float]) -> float:
    """Returns the largest size among finite values, never 0: the map's end."""
    sizes = [abs(value) for value in values if math.isfinite(value)]
    return max(sizes, default=0.0) or 1.0


def linear(value: float, end: float) -> float:
    return value / end


def signed_root(value: float, end: float) -> float:
    """Returns the place of a value on a scale that keeps small effects visible."""
    return math.copysign(math.sqrt(min(abs(value) / end, 1.0)), value)
