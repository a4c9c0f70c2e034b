"""Few paired differences, several tests at once, and a verdict fixed beforehand.

The unit is the pair (of two models of one seed, or of one model at two times). With ten
of them the sign-flip test is exact and the t interval has nine degrees of freedom.
"""

import enum
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


class Verdict(enum.Enum):
    """What a test of paired differences says of a quantity that is less when clean."""

    CLEANER = "the whole adjusted interval is below the smallest decrease that counts"
    MESSIER = "the whole adjusted interval is above the smallest increase that counts"
    NO_CHANGE = "the 90 % interval is between the two"
    UNDECIDED = "none of these"
    INFEASIBLE = "too few pairs"


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """One test of several, with all that its verdict follows from."""

    mean: float
    # At the level that Holm's order leaves for this test, and at 90 %.
    low: float
    high: float
    level: float
    low90: float
    high90: float
    # Of mean 0, two-sided: by all sign flips, and by t. Adjusted by Holm.
    sign_flip_p: float
    t_p: float
    pairs: int
    verdict: Verdict


def decide(
    differences: Mapping[str, Float[np.ndarray, " pair"]],
    bounds: Mapping[str, float],
    *,
    fewest: int = 8,
) -> dict[str, PairedTest]:
    """Tests all differences at once, at a familywise level of 5 %, and says verdicts.

    Tests are ordered by the larger of their two p-values; the first has an interval at
    1 - 0.05 / tests, and so on (Holm 1979). A verdict of a change asks for its interval
    beyond the bound, and for both adjusted p-values below 0.05.

    Args:
        differences: by test, negative where it got cleaner.
        bounds: by test, the smallest change that counts.
        fewest: pairs below which there is no verdict.
    """
    if set(differences) != set(bounds):
        raise ValueError(
            f"differences of {sorted(differences)} with bounds of {sorted(bounds)}; "
            "give each test both."
        )
    raw = {
        name: (sign_flips(d), t_test(d)) if len(d) else (1.0, 1.0)
        for name, d in differences.items()
    }
    order = sorted(raw, key=lambda name: max(raw[name]))
    found, so_far = {}, np.zeros(2)
    for place, name in enumerate(order):
        left = len(order) - place
        so_far = np.maximum(so_far, np.minimum(1.0, left * np.array(raw[name])))
        test = _test(differences[name], so_far, 1 - 0.05 / left)
        found[name] = _judged(test, bounds[name], fewest)
    return {name: found[name] for name in differences}


def sign_flips(differences: Float[np.ndarray, " pair"]) -> float:
    """Returns the two-sided p of mean 0 over all 2^n sign flips, the data among them.

    One for every flip: `significance.sign_flip_p` draws some, for many questions.
    """
    values = np.asarray(differences, float)
    if not 1 <= len(values) <= 20:
        raise ValueError(
            f"{len(values)} differences; give 1 to 20, of which all flips can be tried."
        )
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    sums = np.abs(signs @ values)
    return float((sums >= sums[0] - 1e-12 * max(1.0, sums[0])).mean())


def t_test(differences: Float[np.ndarray, " pair"]) -> float:
    """Returns the two-sided p of mean 0 by Student's t; 1 for zeros and a single pair.

    Pairs that all differ alike have a p of 0.
    """
    mean, error = _mean_and_error(differences)
    if error == 0:
        return float(mean == 0)
    if math.isinf(error):
        return 1.0
    return 1 - t_inside(abs(mean) / error, len(differences) - 1)


def t_interval(
    differences: Float[np.ndarray, " pair"], level: float
) -> tuple[float, float]:
    """Returns the interval of the mean; all numbers for a single pair."""
    if len(differences) < 2:
        return -math.inf, math.inf
    mean, error = _mean_and_error(differences)
    reach = _t_quantile(level, len(differences) - 1) * error
    return mean - reach, mean + reach


def t_inside(t: float, freedom: int) -> float:
    """Returns the probability that |T| < t, by a finite sum (Abramowitz 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = freedom % 2
    term = cosine if is_odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(1, (freedom - 1) // 2 if is_odd else freedom // 2):
        term *= cosine**2 * ((2 * k) / (2 * k + 1) if is_odd else (2 * k - 1) / (2 * k))
        total += term
    if is_odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total


def _t_quantile(level: float, freedom: int) -> float:
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        if t_inside(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return high


def _mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    values = np.asarray(differences, float)
    if len(values) < 2:
        return float(values.mean()) if len(values) else math.nan, math.inf
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _test(differences: np.ndarray, p: np.ndarray, level: float) -> PairedTest:
    low, high = t_interval(differences, level)
    low90, high90 = t_interval(differences, 0.9)
    mean, _ = _mean_and_error(differences)
    return PairedTest(
        mean=mean, low=low, high=high, level=level,
        low90=low90, high90=high90, sign_flip_p=float(p[0]), t_p=float(p[1]),
        pairs=len(differences), verdict=Verdict.UNDECIDED,
    )  # fmt: skip


def _judged(test: PairedTest, bound: float, fewest: int) -> PairedTest:
    is_change = max(test.sign_flip_p, test.t_p) < 0.05
    verdict = Verdict.UNDECIDED
    if test.pairs < fewest:
        verdict = Verdict.INFEASIBLE
    elif is_change and test.high <= -bound:
        verdict = Verdict.CLEANER
    elif is_change and test.low >= bound:
        verdict = Verdict.MESSIER
    elif -bound < test.low90 and test.high90 < bound:
        verdict = Verdict.NO_CHANGE
    return PairedTest(**{**vars(test), "verdict": verdict})
