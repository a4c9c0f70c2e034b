"""What became of the paper's claims: each with its estimate, control and status."""

import dataclasses

from mcq_jax.metrics import Interval

SUPPORTED, CONTRADICTED = "supported", "contradicted"
NOT_FOUND, UNDECIDED = "not found", "undecided"
UNTESTABLE = "not testable here"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClaimFound:
    """One claim of the paper, held against this run's findings."""

    name: str
    # In our words; where the paper or its authors say so, and how sure that is.
    text: str
    source: str
    # What would count against it.
    against: str
    status: str
    why: str
    # The band that supports it: fixed in the run card. None: no bound on that side.
    low: float | None
    high: float | None
    # None: not measured, for the reason in `why`.
    estimate: Interval | None = None
    # Of the same kind, where the claim should not hold.
    control: Interval | None = None
    control_name: str = ""
    # The same on other questions.
    fresh: Interval | None = None
    # Share of the model's effect that the claim is about.
    share: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperClaimsFindings:
    """Every claim that was listed, whatever became of it."""

    claims: tuple[ClaimFound, ...]
    # The folder of the run on fresh questions; empty: none was named.
    fresh: str = ""


def status_of(
    estimate: Interval, low: float | None, high: float | None, control: Interval | None
) -> str:
    """Judges a claim by the whole interval, never by its middle.

    Supported: it lies within the band and beside its control's interval. Contradicted:
    it lies outside of the band. Anything else is undecided.
    """
    bottom = -float("inf") if low is None else low
    top = float("inf") if high is None else high
    if not (estimate.low > -float("inf") and estimate.high < float("inf")):
        return UNTESTABLE  # NaN, or a single question
    if estimate.high < bottom or estimate.low > top:
        return CONTRADICTED
    if estimate.low < bottom or estimate.high > top:
        return UNDECIDED
    if control is not None and not _apart(estimate, control):
        return UNDECIDED
    return SUPPORTED


def _apart(one: Interval, other: Interval) -> bool:
    return one.low > other.high or one.high < other.low
