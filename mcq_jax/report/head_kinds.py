"""Which heads follow the right letter beyond chance, and whether classes last."""

from mcq_jax.report import palette, words
from mcq_jax.report.section import FIRST_ROWS, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import HeadKind, HeadKindsFindings, RunResults

_LEVEL = 0.05
_SCOPE = (
    "Which letter a head follows is about where it looks at the answer position of "
    "these prompts; the test says that it moves with the right letter, not which "
    "feature it goes by."
)


def section(run: RunResults) -> Section | None:
    found = run.get(HeadKindsFindings)
    if found is None:
        return None
    return Section(
        anchor="kinds",
        short="Kinds",
        title="Which heads follow the right letter",
        text=_text(found),
        tables=(
            Titled(
                table=_table(found, run.about.labels),
                note="s: a letter's share of the head's label attention when it is "
                "right, minus when it is not. p: the chance of one as high among all "
                "heads and letters. Proto: s of a single-letter head on its own.",
                shown=max(_beyond_chance(found), FIRST_ROWS),
            ),
        )
        if found.heads
        else (),
        scope=(_SCOPE,),
        experiment="head_kinds",
    )


def _text(found: HeadKindsFindings) -> str:
    if not found.heads:
        return "No head has enough of its attention on labels to be tested."
    return (
        f"{words.count(found.tested, 'head')} with enough attention on labels, over "
        f"{words.count(found.questions, 'question')}. {_beyond_chance(found)} follow "
        f"some letter beyond chance: s above {words.number(found.threshold)}, which "
        "permuted golds reach in one of twenty draws for any head and letter. Classed "
        f"by each half of the questions alone, {words.percent(found.agreement)} keep "
        f"their class ({words.percent(found.chance_agreement)} would by chance)."
    )


def _beyond_chance(found: HeadKindsFindings) -> int:
    return sum(min(kind.p_value) < _LEVEL for kind in found.heads)


def _table(found: HeadKindsFindings, labels: tuple[str, ...]) -> Table:
    return Table(
        columns=(
            "head", "class", *(f"s {name}" for name in labels), "p", "by half", "proto",
        ),
        rows=tuple(_row(kind, labels) for kind in found.heads),
    )  # fmt: skip


def _row(kind: HeadKind, labels: tuple[str, ...]) -> Row:
    first, second = (words.readable(name) for name in kind.class_by_half)
    proto = Cell(text=words.MISSING)
    if kind.proto_index is not None and kind.letter is not None:
        proto = Cell(
            text=f"{labels[kind.letter]} {words.signed(kind.proto_index.mean)}",
            below=words.spread(kind.proto_index),
        )
    return Row(
        name=kind.name,
        cells=(
            Cell(text=words.readable(kind.head_class)),
            *(Cell(text=words.signed(value)) for value in kind.follows),
            Cell(text=words.p_value(min(kind.p_value))),
            Cell(text=first if first == second else f"{first}; {second}"),
            proto,
        ),
        role=palette.class_role(kind.head_class),
    )
