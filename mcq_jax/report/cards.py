"""`Card`: a key figure of the first screen, with its interval and its n."""

import dataclasses
import math

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Track:
    """A little ruler: an interval, its mean, and marks to compare with; all in %."""

    low: float
    high: float
    mean: float
    # (place, what stands there)
    marks: tuple[tuple[float, str], ...] = ()
    null: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One card."""

    label: str
    value: str
    spread: str
    sample: str
    note: str
    track: Track | None = None


def track(
    found: Interval, end: float, marks: tuple[tuple[float, str], ...] = ()
) -> Track | None:
    place = Scale(min(0.0, found.low, *(m for m, _ in marks if m == m)), end)
    if not all(map(math.isfinite, (found.low, found.mean, found.high))):
        return None
    shown = tuple((place(mark), name) for mark, name in marks if math.isfinite(mark))
    return Track(
        low=place(found.low),
        high=place(found.high),
        mean=place(found.mean),
        marks=shown,
    )


class Scale:
    """Places from 0 to 100 on a ruler; what has no number stands nowhere."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        fraction = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(fraction, 0.0), 1.0), 2)
