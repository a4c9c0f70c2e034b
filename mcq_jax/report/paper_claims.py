"""The paper's claims: what became of each, and by which numbers."""

import collections

from mcq_jax.metrics import Interval
from mcq_jax.report import words
from mcq_jax.report.section import Section
from mcq_jax.results import ClaimFound, PaperClaimsFindings, RunResults

_SCOPE = (
    "A supported claim is supported for this model and these questions; the paper's "
    "model is not at hand, and no head of it is a target.",
)


def section(run: RunResults) -> Section | None:
    found = run.get(PaperClaimsFindings)
    if found is None:
        return None
    return Section(
        anchor="claims",
        short="Claims",
        title="The paper's claims",
        text=_text(found),
        scope=_SCOPE,
        template="paper_claims.html",
        values={"claims": [(claim, facts(claim, found)) for claim in found.claims]},
    )


def _text(found: PaperClaimsFindings) -> str:
    statuses = collections.Counter(claim.status for claim in found.claims)
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return (
        f"{words.count(len(found.claims), 'claim')}: {counts}. In our words, each with "
        "where the paper or its authors make it. Supported or contradicted only if the "
        "whole interval lies within, or outside of, a band that the run card fixed; "
        "supported only if a control's interval lies elsewhere."
    )


def facts(claim: ClaimFound, found: PaperClaimsFindings) -> tuple[tuple[str, str], ...]:
    """Returns what there is to say of a claim, as pairs of a term and its value."""
    said = [("Would count against it", claim.against)]
    if claim.estimate is None:
        return (*said, ("Not measured", claim.why))
    said.append(("Measured", f"{interval(claim.estimate)}: {claim.why}"))
    said.append(("Band", band(claim.low, claim.high)))
    if claim.control is not None:
        control = f"{interval(claim.control)}, {claim.control_name}"
        said.append(("Control", control))
    said.append(("Fresh questions", _fresh(claim, found)))
    if claim.share is not None:
        share = f"{interval(claim.share)} of the model's effect"
        said.append(("It concerns", share))
    return tuple(said)


def interval(found: Interval) -> str:
    """Returns a number with its interval and n; of a count, the count alone."""
    size = words.count(found.questions, "question")
    if found.low == found.mean == found.high:
        return f"{_number(found.mean)}, n = {size}"
    return f"{_number(found.mean)} ({words.spread(found)}, n = {size})"


def band(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any value"
    if low is None:
        return f"at most {_number(high)}"
    if high is None:
        return f"at least {_number(low)}"
    return f"{_number(low)} to {_number(high)}"


def _fresh(claim: ClaimFound, found: PaperClaimsFindings) -> str:
    if claim.fresh is not None:
        return interval(claim.fresh)
    return "not measured there" if found.fresh else "no other run was named"


def _number(value: float | None) -> str:
    is_whole = value is not None and value == round(value)
    return words.number(value, 0 if is_whole else words.digits_for(value))
