"""What the numbers say about each claim: supported, contradicted, or neither."""

import dataclasses
import math

from mcq_jax.report import picks, words
from mcq_jax.results import Estimate, Findings

SUPPORTED, CONTRADICTED = "supported", "contradicted"
NOT_FOUND, UNDECIDED = "not found", "undecided"
UNTESTABLE = "not testable here"

# Questions that this kind of run leaves open, whatever it finds.
_NOT_RUN = (
    (
        "The heads follow position, or the letter, rather than content",
        "needs shuffled labels and query swaps",
    ),
    ("A few dimensions carry it", "needs low-rank patching with its controls"),
    ("The same nodes explain other questions", "needs a second set of questions"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    text: str
    status: str
    why: str


def claims(findings: Findings) -> tuple[Claim, ...]:
    """Returns every claim that a reader would want judged."""
    judged = [_does_the_task(findings), _has_an_effect(findings)]
    if picks.has_nodes(findings):
        judged += [_is_enough(findings, kind) for kind in ("random", "next_best")]
        judged.append(_is_needed(findings))
    left = [Claim(text=text, status=UNTESTABLE, why=why) for text, why in _NOT_RUN]
    return tuple(judged + left)


def _does_the_task(findings: Findings) -> Claim:
    found, chance = findings.behaviour.accuracy, 1 / len(findings.asked.labels)
    spread = words.spread(found, 1, as_percent=True)
    return Claim(
        text="The model answers better than chance",
        status=_against(found, chance),
        why=f"accuracy {spread}, chance {words.percent(chance)}",
    )


def _has_an_effect(findings: Findings) -> Claim:
    found = findings.gate
    status = SUPPORTED if found.open else NOT_FOUND
    if not math.isfinite(found.selectivity):
        status = UNTESTABLE
    elif found.selectivity < found.null_low:
        status = CONTRADICTED
    return Claim(text="There is an effect to explain", status=status, why=found.reason)


def _is_enough(findings: Findings, kind: str) -> Claim:
    name = "random sets" if kind == "random" else "the nodes next in rank"
    text = f"The set restores more of the effect than {name}"
    size = len(findings.selection.nodes) if findings.selection else 0
    ours = picks.at_size(findings, "selected", size)
    others = [joint.sufficiency for joint in picks.sets(findings, kind)]
    others = [estimate for estimate in others if estimate is not None]
    if ours is None or ours.sufficiency is None or not others:
        return Claim(text=text, status=UNTESTABLE, why=_refusal(ours, others))
    best = max(others, key=lambda estimate: estimate.high)
    status = UNDECIDED
    if ours.sufficiency.low > best.high:
        status = SUPPORTED
    elif ours.sufficiency.high < best.low:
        status = CONTRADICTED
    why = f"{words.spread(ours.sufficiency)} against {words.spread(best)}"
    return Claim(text=text, status=status, why=why)


def _is_needed(findings: Findings) -> Claim:
    text = "Without the set, some of the effect goes"
    size = len(findings.selection.nodes) if findings.selection else 0
    ours = picks.at_size(findings, "selected", size)
    if ours is None or ours.necessity is None:
        return Claim(text=text, status=UNTESTABLE, why=_refusal(ours, [True]))
    found = ours.necessity
    why = f"{words.number(found.mean)} of it ({words.spread(found)})"
    return Claim(text=text, status=_against(found, 0.0), why=why)


def _refusal(ours, others: list) -> str:
    if ours is not None and ours.refused:
        return ours.refused
    return "nothing to compare with" if ours and not others else "no joint test was run"


def _against(found: Estimate, level: float) -> str:
    """Judges a claim that a mean lies above a level."""
    if not math.isfinite(found.low) or not math.isfinite(found.high):
        return UNTESTABLE
    if found.low > level:
        return SUPPORTED
    return CONTRADICTED if found.high < level else UNDECIDED
