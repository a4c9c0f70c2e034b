"""Findings as rows of text, ready for the page; nothing here is HTML."""

import dataclasses
import math

from mcq_jax.report import palette, picks, scales, words
from mcq_jax.results import Estimate, Findings, JointFound, NodeFound


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A number with its interval below it, and a bar behind."""

    text: str
    below: str = ""
    # Of the column's largest, -1 to 1; the bar grows from the middle.
    bar: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    cells: tuple[Cell, ...]
    note: str = ""
    # Marks the row, as selected or as wrong.
    mark: str = ""
    # The role whose colour stands before the name.
    role: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def asked(findings: Findings) -> tuple[tuple[str, str], ...]:
    """Returns what was asked, as pairs of a term and its value."""
    found = findings.asked
    size = f"{found.layers} layers × ({found.heads} heads + MLP)"
    shots = f"{found.shots}-shot" if found.shots else "no examples before it"
    return (
        ("Model", found.model),
        ("Size", size),
        ("Questions", found.questions_from),
        ("Template", f"{found.template}, {shots}"),
        ("Labels", "  ".join(found.labels)),
        ("n", f"{found.questions:,} questions, {found.prompts:,} prompts"),
        ("Run", f"{found.dtype} on {found.device}, seed {found.seed}"),
        ("Weights", words.short(found.model_hash, 20)),
    )


def behaviour(findings: Findings) -> Table:
    """Returns every behavioural estimate with its interval."""
    found = findings.behaviour
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


def nodes(findings: Findings) -> Table:
    """Returns the foremost nodes, with every effect."""
    kinds, main = picks.source_kinds(findings), picks.main_kind(findings)
    found = picks.top_nodes(findings)
    end = scales.largest([picks.direct(node, kind) for node in found for kind in kinds])
    return Table(
        columns=(
            "node",
            "class",
            *(f"DE {kind}" for kind in kinds),
            f"TE {main}",
            "ΔNLL",
            "outside",
            "inside",
            "D",
            "p",
        ),
        rows=tuple(_node_row(node, kinds, main, end) for node in found),
    )


def _node_row(node: NodeFound, kinds: tuple[str, ...], main: str, end: float) -> Row:
    losses = (node.loss, node.loss_outside, node.loss_inside)
    return Row(
        name=node.name,
        cells=(
            Cell(text=words.readable(picks.role(node))),
            *(_estimate(node.direct.get(kind), end) for kind in kinds),
            _estimate(node.total.get(main)),
            *(_estimate(loss, digits=3) for loss in losses),
            Cell(text=words.signed(node.selectivity)),
            Cell(text=words.p_value(node.p_value)),
        ),
        mark="selected" if node.selected else "",
        role=palette.class_role(picks.role(node)),
    )


def _estimate(found: Estimate | None, end: float = 0.0, *, digits: int = 2) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    has_bar = end > 0 and math.isfinite(found.mean)
    return Cell(
        text=words.signed(found.mean, digits),
        below=words.spread(found, digits),
        bar=round(found.mean / end, 3) if has_bar else None,
    )


def rankings(findings: Findings, size: int = 6) -> tuple[tuple[str, Table], ...]:
    """Returns three rankings: by promotion, letter prior and selectivity.

    A ranking by mean net effect alone cannot see nodes that lift one letter or all.
    """
    readings = (
        ("Lifts all letters: promotion", lambda node: node.promotion),
        ("Likes a letter: range of the prior", _prior_range),
        ("Lifts the right letter: selectivity D", lambda node: node.selectivity),
    )
    return tuple((title, _ranking(findings, read, size)) for title, read in readings)


def _prior_range(node: NodeFound) -> float:
    finite = [value for value in node.letter_prior if math.isfinite(value)]
    return max(finite) - min(finite) if finite else math.nan


def _ranking(findings: Findings, read, size: int) -> Table:
    known = [node for node in findings.nodes if math.isfinite(read(node))]
    first = sorted(known, key=lambda node: -abs(read(node)))[:size]
    end = scales.largest([read(node) for node in first])
    return Table(
        columns=("node", "logits"),
        rows=tuple(
            Row(
                name=node.name,
                cells=(Cell(text=words.signed(read(node)), bar=read(node) / end),),
                mark="selected" if node.selected else "",
                role=palette.class_role(picks.role(node)),
            )
            for node in first
        ),
    )


def joint(findings: Findings, kinds: tuple[str, ...]) -> Table:
    """Returns the sets of these kinds that were patched as a whole."""
    found = [each for kind in kinds for each in picks.sets(findings, kind)]
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


def _ratio(found: Estimate | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))


def heads(findings: Findings) -> Table:
    """Returns every head that was looked at, and why it has its class."""
    labels = findings.asked.labels
    return Table(
        columns=("head", "class", "on labels", *(f"s {name}" for name in labels)),
        rows=tuple(
            Row(
                name=head.name,
                cells=(
                    Cell(text=words.readable(head.head_class)),
                    Cell(text=words.percent(head.label_mass)),
                    *(Cell(text=words.signed(value)) for value in head.follows),
                ),
                note=_head_note(head.reason, head.mass_by_class),
                role=palette.class_role(head.head_class),
            )
            for head in findings.heads
        ),
    )


def _head_note(reason: str, masses: dict[str, float]) -> str:
    shown = sorted(masses.items(), key=lambda pair: -pair[1])[:3]
    text = ", ".join(
        f"{words.readable(name.lower())} {words.percent(mass)}" for name, mass in shown
    )
    return f"{reason} (attention: {text})" if text else reason
