"""The row of key figures on the first screen: each a number, its interval and its n."""

import dataclasses
import math

from mcq_jax.report import picks, words
from mcq_jax.results import Estimate, Findings, JointFound


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
class KeyFigure:
    """One card."""

    label: str
    value: str
    spread: str
    sample: str
    note: str
    track: Track | None = None


def key_figures(findings: Findings) -> tuple[KeyFigure, ...]:
    """Returns the cards that these findings can fill."""
    cards = [_accuracy(findings), _consistent(findings), _selectivity(findings)]
    if picks.has_nodes(findings) and findings.selection is not None:
        cards.append(_size(findings))
        cards.append(_recovery(findings))
    return tuple(cards)


def _accuracy(findings: Findings) -> KeyFigure:
    found, chance = findings.behaviour.accuracy, 1 / len(findings.asked.labels)
    prompts = words.count(findings.asked.prompts, "prompt")
    return KeyFigure(
        label="Accuracy",
        value=words.percent(found.mean, 1),
        spread=words.spread(found, 1, as_percent=True),
        sample=f"n = {words.count(found.questions, 'question')}, {prompts}",
        note=f"chance {words.percent(chance)}",
        track=_track(found, 1.0, ((chance, "chance"),)),
    )


def _consistent(findings: Findings) -> KeyFigure:
    found = findings.behaviour.consistent_accuracy
    return KeyFigure(
        label="Right in every order",
        value=words.percent(found.mean, 1),
        spread=words.spread(found, 1, as_percent=True),
        sample=f"n = {words.count(found.questions, 'question')}",
        note="permutation-consistent accuracy",
        track=_track(found, 1.0),
    )


def _selectivity(findings: Findings) -> KeyFigure:
    found = findings.gate
    ends = (0.0, found.selectivity, found.null_low, found.null_high)
    low, high = min(ends) * 1.1, max(ends) * 1.1
    place = _Scale(low, high if high > low else low + 1)
    value = place(found.selectivity)
    digits = words.digits_for(found.selectivity, found.null_low, found.null_high)
    null = (words.number(end, digits) for end in (found.null_low, found.null_high))
    return KeyFigure(
        label="D, against its null",
        value=words.number(found.selectivity, digits),
        spread=f"null {' to '.join(null)}",
        sample=f"n = {words.count(findings.asked.questions, 'question')}",
        note=f"p {words.p_value(found.p_value)}, {found.null}",
        track=Track(
            low=value,
            high=value,
            mean=value,
            null=(place(found.null_low), place(found.null_high)),
        ),
    )


def _size(findings: Findings) -> KeyFigure:
    chosen, asked = findings.selection, findings.asked
    assert chosen is not None
    every = asked.layers * (asked.heads + 1)
    reached = words.percent(chosen.reached)
    claim = "" if chosen.is_reached else f", short of {words.percent(chosen.share)}"
    return KeyFigure(
        label="Nodes in the set, |S|",
        value=str(len(chosen.nodes)),
        spread=f"of {words.count(every, 'node')}",
        sample=f"chosen on n = {words.count(chosen.questions, 'question')}",
        note=f"{reached} of the total direct effect{claim}",
    )


def _recovery(findings: Findings) -> KeyFigure:
    chosen = findings.selection
    assert chosen is not None
    size = len(chosen.nodes)
    found = picks.at_size(findings, "selected", size)
    others = {
        name: _sufficiency(picks.at_size(findings, kind, size))
        for kind, name in (("random", "random"), ("next_best", "next-best"))
    }
    estimate = None if found is None else found.sufficiency
    if estimate is None:
        reason = found.refused if found is not None else "not measured in this run"
        return KeyFigure(
            label="Held-out recovery",
            value=words.MISSING,
            spread="no ratio",
            sample=f"n = {words.count(chosen.held_out_questions, 'question')}",
            note=reason,
        )
    marks = tuple((value, name) for name, value in others.items())
    return KeyFigure(
        label="Held-out recovery",
        value=words.number(estimate.mean),
        spread=words.spread(estimate),
        sample=f"n = {words.count(estimate.questions, 'held-out question')}",
        note=", ".join(f"{name} {words.number(mean)}" for name, mean in others.items()),
        track=_track(estimate, max(1.0, estimate.high), marks),
    )


def _sufficiency(joint: JointFound | None) -> float:
    if joint is None or joint.sufficiency is None:
        return math.nan
    return joint.sufficiency.mean


class _Scale:
    """Places from 0 to 100 on a ruler; what has no number stands nowhere."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        fraction = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(fraction, 0.0), 1.0), 2)


def _track(
    found: Estimate, end: float, marks: tuple[tuple[float, str], ...] = ()
) -> Track | None:
    place = _Scale(min(0.0, found.low, *(m for m, _ in marks if m == m)), end)
    if not all(map(math.isfinite, (found.low, found.mean, found.high))):
        return None
    shown = tuple((place(mark), name) for mark, name in marks if math.isfinite(mark))
    return Track(
        low=place(found.low),
        high=place(found.high),
        mean=place(found.mean),
        marks=shown,
    )
