"""The selected set: is it enough, and is it needed?"""

import math

from mcq_jax.metrics import Interval
from mcq_jax.report import picks, recovery_figures, words
from mcq_jax.report.cards import Card, track
from mcq_jax.report.claims import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    UNTESTABLE,
    Claim,
    against,
)
from mcq_jax.report.section import Plate, Section
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    RULE,
    JointFound,
    JointTestsFindings,
    RunResults,
    ScreenedFound,
    Screening,
    ScreeningFound,
    judge,
)

_SCOPE = (
    "The set was chosen by direct effect, so that its direct paths carry the stated "
    "share is so by construction. Evidence is the joint test on held-out questions."
)


def section(run: RunResults) -> Section | None:
    if run.selection is None or not picks.has_nodes(run):
        return None
    has_ratios = any(found.sufficiency or found.necessity for found in run.sets)
    claims = [_is_enough(run, kind) for kind in ("random", "next_best")]
    screening = run.need(JointTestsFindings).screening
    if screening is not None:
        claims.append(_carries(screening))
    return Section(
        anchor="set",
        short="The set",
        title="The selected set",
        figures=(_recovery(run),) if has_ratios else (),
        claims=(*claims, _is_needed(run)),
        cards=(_size(run), _recovered(run)),
        scope=(_SCOPE,),
        template="joint_tests.html",
        values={
            "chosen": run.selection,
            "sets": _table(run, ("selected", "next_best", "random", "all")),
            "curve": _table(run, ("cumulative",)),
            "screening": None if screening is None else _screening_table(screening),
            "rule": RULE,
            "said": "" if screening is None else judge(screening).value,
        },
    )


def _recovery(run: RunResults) -> Plate:
    chosen = run.selection
    assert chosen is not None
    held_out = chosen.held_out_questions
    return Plate(
        name="recovery",
        title="Is the set enough, and is it needed?",
        caption="Sets patched as a whole at the answer position; 1 is the whole "
        "effect, 0 none. Random sets match the selected one in kind and layer; "
        "next-best are the nodes that rank right after it. All nodes together give "
        "exactly 1. Bars and band: 95 % intervals.",
        sample=f"n = {words.count(held_out, 'held-out question')}",
        draw=recovery_figures.recovery,
    )


def _is_enough(run: RunResults, kind: str) -> Claim:
    name = "random sets" if kind == "random" else "the nodes next in rank"
    text = f"The set restores more of the effect than {name}"
    size = len(run.selection.nodes) if run.selection else 0
    ours = picks.at_size(run, "selected", size)
    others = [joint.sufficiency for joint in picks.sets(run, kind)]
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


def _carries(found: ScreeningFound) -> Claim:
    said = judge(found)
    status = {Screening.SET_CARRIES: SUPPORTED, Screening.UNDECIDED: UNDECIDED}
    left = found.next_best.sufficiency_left, found.selected.sufficiency_left
    has_shares = None not in left
    return Claim(
        text="What the nodes next in rank restore, they restore through the set",
        status=status.get(said, CONTRADICTED) if has_shares else UNTESTABLE,
        why=f"{said.value}: {words.spread(left[0])} of it is left with the set held; "
        f"of what the set restores, {words.spread(left[1])} with these held"
        if has_shares
        else "one of the two restores nothing by itself",
    )


def _is_needed(run: RunResults) -> Claim:
    text = "Without the set, some of the effect goes"
    size = len(run.selection.nodes) if run.selection else 0
    ours = picks.at_size(run, "selected", size)
    if ours is None or ours.necessity is None:
        return Claim(text=text, status=UNTESTABLE, why=_refusal(ours, [True]))
    found = ours.necessity
    why = f"{words.number(found.mean)} of it ({words.spread(found)})"
    return Claim(text=text, status=against(found, 0.0), why=why)


def _refusal(ours, others: list) -> str:
    if ours is not None and ours.refused:
        return ours.refused
    return "nothing to compare with" if ours and not others else "no joint test was run"


def _size(run: RunResults) -> Card:
    chosen, asked = run.selection, run.about
    assert chosen is not None
    every = asked.layers * (asked.heads + 1)
    reached = words.percent(chosen.reached)
    low, high = (words.percent(share) for share in (chosen.share, 2 - chosen.share))
    claim = "" if chosen.is_reached else f", not {low} to {high}"
    return Card(
        label="Nodes in the set, |S|",
        value=str(len(chosen.nodes)),
        spread=f"of {words.count(every, 'node')}",
        sample=f"chosen on n = {words.count(chosen.questions, 'question')}",
        note=f"{reached} of the total direct effect{claim}",
    )


def _recovered(run: RunResults) -> Card:
    chosen = run.selection
    assert chosen is not None
    size = len(chosen.nodes)
    found = picks.at_size(run, "selected", size)
    others = {
        name: _sufficiency(picks.at_size(run, kind, size))
        for kind, name in (("random", "random"), ("next_best", "next-best"))
    }
    estimate = None if found is None else found.sufficiency
    if estimate is None:
        reason = found.refused if found is not None else "not measured in this run"
        return Card(
            label="Held-out recovery",
            value=words.MISSING,
            spread="no ratio",
            sample=f"n = {words.count(chosen.held_out_questions, 'question')}",
            note=reason,
        )
    marks = tuple((value, name) for name, value in others.items())
    return Card(
        label="Held-out recovery",
        value=words.number(estimate.mean),
        spread=words.spread(estimate),
        sample=f"n = {words.count(estimate.questions, 'held-out question')}",
        note=", ".join(f"{name} {words.number(mean)}" for name, mean in others.items()),
        track=track(estimate, max(1.0, estimate.high), marks),
    )


def _sufficiency(joint: JointFound | None) -> float:
    if joint is None or joint.sufficiency is None:
        return math.nan
    return joint.sufficiency.mean


def _table(run: RunResults, kinds: tuple[str, ...]) -> Table:
    """Returns the sets of these kinds that were patched as a whole."""
    found = [each for kind in kinds for each in picks.sets(run, kind)]
    return Table(
        columns=("set", "nodes", "sufficiency", "necessity", "n"),
        rows=tuple(_joint_row(each) for each in found),
    )


def _joint_row(found: JointFound) -> Row:
    readings = (found.sufficiency, found.necessity)
    sizes = {estimate.questions for estimate in readings if estimate is not None}
    return Row(
        name=found.kind.replace("_", "-"),
        cells=(
            Cell(text=str(found.size)),
            *(_ratio(estimate) for estimate in readings),
            Cell(text=", ".join(map(str, sorted(sizes))) or words.MISSING),
        ),
        note=f"refused: {found.refused}" if found.refused else "",
        mark="selected" if found.kind == "selected" else "",
    )


def _screening_table(found: ScreeningFound) -> Table:
    """Returns both sets, each with the other held."""
    return Table(
        columns=("set", "held", "sufficiency", "left of it", "necessity", "left of it"),
        rows=(
            _screened_row("selected", "next-best", found.selected),
            _screened_row("next-best", "selected", found.next_best),
        ),
    )


def _screened_row(name: str, held: str, found: ScreenedFound) -> Row:
    readings = (
        found.sufficiency, found.sufficiency_left,
        found.necessity, found.necessity_left,
    )  # fmt: skip
    return Row(
        name=name,
        cells=(Cell(text=held), *map(_ratio, readings)),
        mark="selected" if name == "selected" else "",
    )


def _ratio(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
