"""`verdict`: what a run comes to, in one sentence, from its findings alone."""

import dataclasses

from mcq_jax.results.findings import (
    BehaviourFindings,
    JointFound,
    JointTestsFindings,
)
from mcq_jax.results.run_results import RunResults

# Half of the effect at least, or it is not most of it.
_MOST = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    sentence: str
    # None: the run has not come so far.
    has_circuit: bool | None


def verdict(run: RunResults) -> Verdict:
    """Returns the verdict; of a run that is not finished, what it waits for."""
    behaviour = run.behaviour
    if behaviour is None:
        return Verdict(sentence="Not asked yet: run the card again.", has_circuit=None)
    if not behaviour.gate.open:
        return Verdict(
            sentence=f"No circuit to find: {behaviour.gate.reason}", has_circuit=False
        )
    if not behaviour.enough_questions:
        return Verdict(sentence=_too_few(run, behaviour), has_circuit=False)
    joint = run.get(JointTestsFindings)
    if joint is None:
        why = behaviour.gate.reason.rstrip(".")
        return Verdict(
            sentence=f"There is an effect to explain ({why}); no set of nodes was "
            "tested as its explanation.",
            has_circuit=None,
        )
    return _of_the_set(run, joint)


def _too_few(run: RunResults, behaviour: BehaviourFindings) -> str:
    return (
        "An effect, but too few questions to explain it: "
        f"{behaviour.kept_questions} of {run.about.questions} pass the filter, and "
        "both the half that chooses nodes and the half that tests them need at least "
        "2. Ask more questions, or easier ones."
    )


def _of_the_set(run: RunResults, joint: JointTestsFindings) -> Verdict:
    """Held-out recovery against both rivals: random sets, and the next in rank."""
    by_kind = {found.kind: found for found in joint.sets}
    selected, random = by_kind["selected"], by_kind["random"]
    next_best = by_kind.get("next_best")
    if selected.sufficiency is None or random.sufficiency is None:
        return Verdict(
            sentence=f"No set could be tested: {selected.refused}", has_circuit=False
        )
    restored, rival = selected.sufficiency, random.sufficiency
    asked = "pairs" if run.about.are_pairs else "questions"
    facts = (
        f"{selected.size} nodes restore {restored.mean:.0%} of the net logit on "
        f"held-out {asked} ({restored.low:.0%} to {restored.high:.0%}), random sets "
        f"like them {rival.mean:.0%}{_next_best(next_best)}{_letter_heads(run)}."
    )
    if restored.low <= max(rival.high, _MOST):
        return Verdict(
            sentence=f"No set explains most of the effect: {facts}", has_circuit=False
        )
    if next_best is not None and not _is_below(next_best, restored.low):
        facts += (
            " The set is not special by this test: its rivals may be upstream of it "
            "(it was chosen by direct effect, and tested by total effect), or as good."
        )
    return Verdict(sentence=f"A circuit was found: {facts}", has_circuit=True)


def _next_best(found: JointFound | None) -> str:
    if found is None or found.sufficiency is None:
        return ""
    return f", the {found.size} nodes next in rank {found.sufficiency.mean:.0%}"


def _is_below(found: JointFound, level: float) -> bool:
    return found.sufficiency is None or found.sufficiency.high < level


def _letter_heads(run: RunResults) -> str:
    if run.about.are_pairs or not run.heads:
        return ""
    kinds = ("correct_letter", "letter_specific")
    count = sum(head.head_class in kinds for head in run.heads)
    return f"; {count} heads attend to the correct letter"
