"""`verdict`: what a run comes to, in one sentence, from its findings alone."""

import dataclasses
from collections.abc import Mapping

from mcq_jax.metrics import Interval
from mcq_jax.results.findings import (
    BehaviourFindings,
    JointFound,
    JointTestsFindings,
    ScreeningFound,
)
from mcq_jax.results.run_results import RunResults
from mcq_jax.results.screening import Screening, judge

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
        return Verdict(
            sentence=f"There is an effect to explain: {behaviour.gate.reason} No set "
            "of nodes was tested as its explanation.",
            has_circuit=None,
        )
    return _of_the_set(run, joint)


def _too_few(run: RunResults, behaviour: BehaviourFindings) -> str:
    kept, asked = behaviour.kept_questions, run.about.questions
    # Where none passes, none of more such questions would.
    instead = "more questions, or easier ones" if kept else "what the model can answer"
    return (
        f"An effect, but too few questions to explain it: {kept} of {asked} pass the "
        f"filter (accuracy {behaviour.accuracy.mean:.0%}), and both the half that "
        "chooses nodes and the half that tests them need at least 2. "
        f"Ask {instead}."
    )


def _of_the_set(run: RunResults, joint: JointTestsFindings) -> Verdict:
    """Held-out recovery against both rivals: random sets, and the next in rank.

    A circuit was found if the set restores most of the effect, more than random sets,
    and more than the next in rank, unless these act through it (`screening`).
    """
    by_kind = {found.kind: found for found in joint.sets}
    selected, random = by_kind["selected"], by_kind["random"]
    if selected.sufficiency is None or random.sufficiency is None:
        return Verdict(
            sentence=f"No set could be tested: {selected.refused}", has_circuit=False
        )
    restored = selected.sufficiency
    facts = _facts(run, joint, by_kind)
    if restored.low <= _MOST:
        return Verdict(
            sentence=f"No set explains most of the effect: {facts}", has_circuit=False
        )
    if restored.low <= random.sufficiency.high:
        return Verdict(
            sentence=f"No circuit was found, random sets do as well: {facts}",
            has_circuit=False,
        )
    if not _does_as_well(by_kind.get("next_best"), restored.low):
        return Verdict(sentence=f"A circuit was found: {facts}", has_circuit=True)
    if joint.screening is None:
        return Verdict(
            sentence=f"Not decided, the nodes next in rank do as well: {facts} "
            "Whether they act through the set was not measured; run the card again.",
            has_circuit=None,
        )
    said = judge(joint.screening)
    if said is Screening.SET_CARRIES:
        return Verdict(sentence=f"A circuit was found: {facts}", has_circuit=True)
    if said is Screening.UNDECIDED:
        return Verdict(
            sentence=f"Not decided, the nodes next in rank do as well: {facts}",
            has_circuit=None,
        )
    return Verdict(
        sentence=f"No circuit was found, the nodes next in rank do as well: {facts}",
        has_circuit=False,
    )


def _facts(
    run: RunResults, joint: JointTestsFindings, by_kind: Mapping[str, JointFound]
) -> str:
    """What was measured: the set, its rivals, the strongest first, and screening off.

    The strongest is the one whose interval reaches highest.
    """
    selected, next_best = by_kind["selected"], by_kind.get("next_best")
    rivals = [(by_kind["random"].sufficiency, "random sets like it")]
    if next_best is not None:
        name = f"the {next_best.size} nodes next in rank"
        rivals.append((next_best.sufficiency, name))
    known = [(found, name) for found, name in rivals if found is not None]
    known.sort(key=lambda rival: -rival[0].high)
    (strongest, name), *others = known
    weaker = "".join(f", {name} {rival.mean:.0%}" for rival, name in others)
    assert selected.sufficiency is not None
    asked = "pairs" if run.about.are_pairs else "questions"
    return (
        f"{selected.size} nodes restore {_share(selected.sufficiency)} of the net "
        f"logit on held-out {asked}, their strongest rival, {name}, "
        f"{_share(strongest)}{weaker}{_letter_heads(run)}."
        f"{_screening(joint.screening)}"
    )


def _screening(found: ScreeningFound | None) -> str:
    if found is None:
        return ""
    rivals, selected = found.next_best.sufficiency_left, found.selected.sufficiency_left
    if rivals is None or selected is None:
        return ""
    return (
        f" With the set held, {_share(rivals)} of what the nodes next in rank restore "
        f"is left; with these held, {_share(selected)} of what the set restores: "
        f"{judge(found).value}."
    )


def _share(found: Interval) -> str:
    return f"{found.mean:.0%} ({found.low:.0%} to {found.high:.0%})"


def _does_as_well(rival: JointFound | None, level: float) -> bool:
    return (
        rival is not None
        and rival.sufficiency is not None
        and rival.sufficiency.high >= level
    )


def _letter_heads(run: RunResults) -> str:
    if run.about.are_pairs or not run.heads:
        return ""
    kinds = ("correct_letter", "letter_specific")
    count = sum(head.head_class in kinds for head in run.heads)
    return f"; {count} heads attend to the correct letter"
