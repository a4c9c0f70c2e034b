"""Does the model do the task? Accuracy, letter by letter, and the gate."""

import math

from mcq_jax.report import behaviour_figures, words
from mcq_jax.report.cards import Card, Scale, Track, track
from mcq_jax.report.claims import (
    CONTRADICTED,
    NOT_FOUND,
    SUPPORTED,
    UNTESTABLE,
    Claim,
    against,
)
from mcq_jax.report.section import Plate, Section, prompts_asked
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import BehaviourFindings, RunResults

_CLOSED = (
    "A closed gate does not say that the model lacks the knowledge: it says that, "
    "asked in this way, being right does not move a letter's logit.",
    "No node is named here: a ranking of nodes exists for noise, too.",
)


def section(run: RunResults) -> Section | None:
    if run.behaviour is None:
        return None
    return Section(
        anchor="behaviour",
        short="Behaviour",
        title="Does the model do the task?",
        figures=(_gold_by_letter(run), _letters(run), _gate(run)),
        claims=(_does_the_task(run), _has_an_effect(run)),
        cards=(_accuracy(run), _consistent(run), _selectivity(run)),
        scope=() if run.behaviour.gate.open else _CLOSED,
        template="behaviour.html",
        values={"table": _table(run)},
    )


def _gold_by_letter(run: RunResults) -> Plate:
    return Plate(
        name="gold_by_letter",
        title="Gold letter × letter",
        caption="Mean logit of each letter, less the mean over letters, by which "
        "letter is right. A model that binds the answer to its letter lights up the "
        "diagonal; a model that merely likes a letter lights up a column.",
        sample=prompts_asked(run),
        draw=behaviour_figures.gold_by_letter,
    )


def _letters(run: RunResults) -> Plate:
    return Plate(
        name="letters",
        title="Letter by letter",
        caption="Dashed: chance. Unequal bars in the lower two panels are a liking "
        "for letters, which says nothing about the question.",
        sample=prompts_asked(run),
        draw=behaviour_figures.letters,
    )


def _gate(run: RunResults) -> Plate:
    gate = run.need(BehaviourFindings).gate
    return Plate(
        name="gate",
        title="The gate: D against its null",
        caption="D is how much higher a letter's logit is when it is right than when "
        f"it is not, mean over letters. Null: {gate.null}. One-sided p "
        f"{words.p_value(gate.p_value)}.",
        sample=prompts_asked(run),
        draw=behaviour_figures.gate,
    )


def _does_the_task(run: RunResults) -> Claim:
    found, chance = run.need(BehaviourFindings).accuracy, 1 / len(run.about.labels)
    spread = words.spread(found, 1, as_percent=True)
    return Claim(
        text="The model answers better than chance",
        status=against(found, chance),
        why=f"accuracy {spread}, chance {words.percent(chance)}",
    )


def _has_an_effect(run: RunResults) -> Claim:
    found = run.need(BehaviourFindings).gate
    status = SUPPORTED if found.open else NOT_FOUND
    if not math.isfinite(found.selectivity):
        status = UNTESTABLE
    elif found.selectivity < found.null_low:
        status = CONTRADICTED
    return Claim(text="There is an effect to explain", status=status, why=found.reason)


def _accuracy(run: RunResults) -> Card:
    found, chance = run.need(BehaviourFindings).accuracy, 1 / len(run.about.labels)
    prompts = words.count(run.about.prompts, "prompt")
    return Card(
        label="Accuracy",
        value=words.percent(found.mean, 1),
        spread=words.spread(found, 1, as_percent=True),
        sample=f"n = {words.count(found.questions, 'question')}, {prompts}",
        note=f"chance {words.percent(chance)}",
        track=track(found, 1.0, ((chance, "chance"),)),
    )


def _consistent(run: RunResults) -> Card:
    found = run.need(BehaviourFindings).consistent_accuracy
    return Card(
        label="Right in every order",
        value=words.percent(found.mean, 1),
        spread=words.spread(found, 1, as_percent=True),
        sample=f"n = {words.count(found.questions, 'question')}",
        note="permutation-consistent accuracy",
        track=track(found, 1.0),
    )


def _selectivity(run: RunResults) -> Card:
    found = run.need(BehaviourFindings).gate
    ends = (0.0, found.selectivity, found.null_low, found.null_high)
    low, high = min(ends) * 1.1, max(ends) * 1.1
    place = Scale(low, high if high > low else low + 1)
    value = place(found.selectivity)
    digits = words.digits_for(found.selectivity, found.null_low, found.null_high)
    null = (words.number(end, digits) for end in (found.null_low, found.null_high))
    return Card(
        label="D, against its null",
        value=words.number(found.selectivity, digits),
        spread=f"null {' to '.join(null)}",
        sample=f"n = {words.count(run.about.questions, 'question')}",
        note=f"p {words.p_value(found.p_value)}, {found.null}",
        track=Track(
            low=value,
            high=value,
            mean=value,
            null=(place(found.null_low), place(found.null_high)),
        ),
    )


def _table(run: RunResults) -> Table:
    """Returns every behavioural estimate with its interval."""
    found = run.need(BehaviourFindings)
    share, plain = words.percent, words.number
    rows = (
        ("Accuracy", found.accuracy, share, "highest letter is the right one"),
        (
            "Accuracy less the letter prior",
            found.prior_corrected_accuracy,
            share,
            "after subtracting each letter's mean logit",
        ),
        (
            "Right in every order",
            found.consistent_accuracy,
            share,
            "questions answered rightly in all rotations",
        ),
        ("Mass on the letters", found.answer_mass, share, "probability of any letter"),
        ("Net logit", found.net_logit, plain, "right letter less mean of the others"),
        ("Loss", found.loss, plain, "−log P(right letter), nats"),
        ("… outside", found.loss_outside, plain, "−log P(any letter)"),
        ("… inside", found.loss_inside, plain, "−log P(right letter | any letter)"),
    )
    return Table(
        columns=("", "mean", "95 % interval", "n"),
        rows=tuple(
            Row(
                name=name,
                cells=(
                    Cell(text=write(estimate.mean, 1 if write is share else 2)),
                    Cell(
                        text=words.spread(
                            estimate,
                            1 if write is share else 2,
                            as_percent=write is share,
                        )
                    ),
                    Cell(text=f"{estimate.questions:,}"),
                ),
                note=note,
            )
            for name, estimate, write, note in rows
        ),
    )
