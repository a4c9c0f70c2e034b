"""Whether two libraries saw the same numbers."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.fuzz.precision import in_float64

# Name, ours, and the reference's; NaN there is nobody's.
Pairs = Iterator[tuple[str, Any, np.ndarray]]
# Of an array's largest number; both compute in float32.
TOLERANCE = 1e-4
# An array whose numbers are all smaller is compared as if one were as large.
_FLOOR = 1e-2


def compare(
    pairs: Callable[[], Pairs], watched, tolerance: float = TOLERANCE
) -> tuple[float | None, str]:
    """Returns None if all are equal, or the largest error; and where it is.

    Some random models make much of rounding. What the reference in float64 says of its
    own float32 numbers then tells what can be asked.
    """
    worst, where = _worst(pairs())
    if worst <= tolerance:
        return None, f"{worst:.1e} {where}"
    single = [(name, np.array(theirs)) for name, _, theirs in pairs()]
    with in_float64(watched.model):
        double = [(name, found, theirs) for name, found, theirs in pairs()]
    own = max(
        error(theirs, wide)
        for (_, theirs), (_, _, wide) in zip(single, double, strict=True)
    )
    again, _ = _worst(iter(double))
    if again <= max(tolerance, 30 * own) and own < 1e-2:
        return None, f"{again:.1e} {where}, rounding makes {own:.1e}"
    return worst, f"{worst:.1e} {where} (in float64 {again:.1e}, rounding {own:.1e})"


def _worst(pairs: Pairs) -> tuple[float, str]:
    errors = {name: error(found, expected) for name, found, expected in pairs}
    where = max(errors, key=lambda name: errors[name])
    return errors[where], where


def error(found, expected) -> float:
    """The largest difference, as a share of the largest number."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    if found.shape != expected.shape:
        return np.inf
    known = ~np.isnan(expected)
    found, expected = found[known], expected[known]
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite]):
        return np.inf
    found, expected = found[finite], expected[finite]
    if not len(found):
        return 0.0
    if not np.isfinite(found).all():
        return np.inf
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), _FLOOR))
