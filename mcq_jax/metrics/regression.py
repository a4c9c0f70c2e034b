"""A straight line through prompts, with an interval over questions."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Num, Shaped

from mcq_jax.metrics import statistics
from mcq_jax.metrics.statistics import Interval

# A spread of x below this share of its size is rounding, through which no line goes.
_ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True)
class Line:
    """y = intercept + slope * x, by least squares; or the reason why there is none."""

    slope: Interval | None
    intercept: float | None
    r_squared: float | None
    refused: str


def line(
    x: Num[np.ndarray, " prompt"],
    y: Num[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    least_spread: float = 0.0,
    resamples: int = 2000,
    seed: int = 0,
) -> Line:
    """Returns the line of y on x; its slope's interval draws whole questions anew.

    Refused where x hardly differs between the prompts: a slope needs a spread.

    Args:
        least_spread: a standard deviation of x that is no more than rounding.
    """
    x, y = (np.asarray(values, np.float64) for values in (x, y))
    spread, size = float(x.std()), float(np.abs(x).max(initial=0.0))
    least = max(least_spread, _ROUNDING * size)
    if not spread > least:
        return Line(
            slope=None, intercept=None, r_squared=None,
            refused=f"x spreads by {spread:.2g} around {x.mean():.3g} over the "
            "prompts; a slope needs values that differ.",
        )  # fmt: skip
    centre = x.mean(), y.mean()  # sums of centred values lose no digits
    u, v = x - centre[0], y - centre[1]
    moments = np.stack([np.ones_like(u), u, v, u * u, u * v], axis=1)
    sums, _ = statistics.question_sums(moments, question)
    weights = statistics.resample_weights(len(sums), resamples=resamples, seed=seed)
    drawn = weights @ sums
    # A resample of questions that agree in x has no slope of its own.
    has_spread = _variance(drawn) > least**2
    total = sums.sum(axis=0)
    slope = float(_slope(total))
    residual = v - slope * u
    return Line(
        slope=statistics.percentile_interval(
            slope, _slope(drawn[has_spread]), questions=len(sums)
        ),
        intercept=float(centre[1] - slope * centre[0]),
        r_squared=float(1 - (residual**2).sum() / max((v**2).sum(), 1e-300)),
        refused="",
    )


def _variance(moments: np.ndarray) -> np.ndarray:
    count, u, _, uu, _ = np.moveaxis(moments, -1, 0)
    return uu / count - (u / count) ** 2


def _slope(moments: np.ndarray) -> np.ndarray:
    count, u, v, _, uv = np.moveaxis(moments, -1, 0)
    return (uv / count - u * v / count**2) / _variance(moments)
