"""Attention to enumerators where nothing is asked, by head and kind of text."""

import dataclasses

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.claims import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    UNTESTABLE,
    Claim,
)
from mcq_jax.report.section import FIRST_ROWS, Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    ElsewhereFindings,
    HeadElsewhere,
    KindElsewhere,
    RunResults,
    TextShown,
)

_SCOPE = (
    "Attention to enumerators says where a head looks in texts that ask nothing, not "
    "what it does there. Texts of our own share a dozen topics and a few forms."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Token:
    """A token of an example as the page shows it."""

    text: str
    step: int  # shade, 0 to `palette.STEPS`
    is_enumerator: bool
    tip: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    title: str
    tokens: tuple[Token, ...]


def section(run: RunResults) -> Section | None:
    found = run.get(ElsewhereFindings)
    if found is None or not found.kinds:
        return None
    texts = sum(kind.texts for kind in found.kinds)
    return Section(
        anchor="elsewhere",
        short="Elsewhere",
        title="Enumerators where nothing is asked",
        text=_text(found),
        figures=(
            Plate(
                name="elsewhere_heads",
                title="Every head's attention to enumerators",
                caption="The share of a later token's attention on enumerators, less "
                "that on as many other tokens of the same items. A dot is a head, "
                "layers from left to right: grey any, blue the correct-letter heads "
                "that multiple-choice questions named.",
                sample=f"n = {words.count(texts, 'text')}",
                draw=strips,
            ),
        ),
        tables=(
            Titled(
                table=_kind_table(found.kinds),
                title="Kinds of text",
                note="Percentile: of the named heads among the heads of their layers, "
                "0.5 by chance; p: as many random heads of the same layers.",
            ),
            Titled(
                table=_head_table(found.heads),
                title="Heads",
                note="The named heads, and those with the largest excess. Other "
                "tokens: one of each item. p: the chance of an excess as large among "
                "all heads, if any token of an item could be its enumerator. "
                "Intervals: 95 %, over texts.",
                shown=FIRST_ROWS,
            ),
        ),
        claims=(_looks(found),),
        scope=(_SCOPE,),
        experiment="elsewhere",
        template="elsewhere.html",
        values={"examples": tuple(map(_example, found.examples))},
    )


def _text(found: ElsewhereFindings) -> str:
    said = (
        "Enumerators are what tells the items of a list apart: letters, numbers, "
        "bullets, ordinals in a sentence, cases in code. Texts: "
        f"{found.source}; "
        + ", ".join(f"{kind.kind} ({kind.texts})" for kind in found.kinds)
        + "."
    )
    if found.left_out:
        said += f" {words.count(found.left_out, 'text')} left out as too long."
    if not found.letter_heads:
        return said + " No correct-letter heads were named, so none has a rank."
    return said + f" Correct-letter heads: {', '.join(found.letter_heads)}."


def _looks(found: ElsewhereFindings) -> Claim:
    """Supported where it holds in every kind of text.

    Contradicted where in every kind they rank below random heads, as surely.
    """
    text = "The correct-letter heads look at enumerators where nothing is asked, too."
    told = [kind for kind in found.kinds if kind.p_value is not None]
    if not told or found.level is None:
        return Claim(text=text, status=UNTESTABLE, why="No such heads were named.")
    beyond = [k.kind for k in told if k.p_value is not None and k.p_value < found.level]
    low = [k for k in told if k.p_value is not None and k.p_value > 1 - found.level]
    status = UNDECIDED
    if len(beyond) == len(told):
        status = SUPPORTED
    elif len(low) == len(told):
        status = CONTRADICTED
    return Claim(
        text=text,
        status=status,
        why=f"They rank above as many random heads of their layers (p < "
        f"{words.number(found.level)}) in {len(beyond)} of {len(told)} kinds of text"
        + (f": {', '.join(beyond)}." if beyond else "."),
    )


@canvas.styled
def strips(run: RunResults) -> Figure:
    """Every head's excess, kind by kind; the named ones in front."""
    found = run.get(ElsewhereFindings)
    assert found is not None
    figure = canvas.new_figure(max(4.6, 1.3 + 1.25 * len(found.kinds)), 3.8)
    axes = figure.subplots()
    axes.axhline(0, color=palette.PALE, linewidth=0.9)
    for place, kind in enumerate(found.kinds):
        _draw_kind(axes, found, kind, place)
    names = [words.short(kind.kind, 14) for kind in found.kinds]
    axes.set_xticks(range(len(names)), names)
    axes.set(xlim=(-0.6, len(names) - 0.4), ylabel="excess attention, share")
    if found.letter_heads:
        axes.plot([], [], "o", color=palette.BLUE, label="correct-letter heads")
    axes.plot([], [], ".", color=palette.GREY, label="all heads")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw_kind(
    axes: Axes, found: ElsewhereFindings, kind: KindElsewhere, place: int
) -> None:
    for layer, row in enumerate(kind.excess):
        # Layers from left to right, so that heads of one layer stand above each other.
        across = place - 0.34 + 0.68 * layer / max(len(kind.excess) - 1, 1)
        axes.plot([across] * len(row), row, ".", color=palette.GREY, alpha=0.55,
                  markersize=3.5)  # fmt: skip
    for head in found.heads:
        if head.kind != kind.kind or not head.is_letter_head:
            continue
        across = place - 0.34 + 0.68 * head.layer / max(len(kind.excess) - 1, 1)
        axes.plot([across] * 2, [head.excess.low, head.excess.high],
                  color=palette.BLUE, linewidth=1.1)  # fmt: skip
        mark = axes.plot(across, head.excess.mean, "o", color=palette.BLUE,
                         markersize=5)[0]  # fmt: skip
        canvas.tip(
            mark,
            f"{head.name}, {head.kind}: {words.signed(head.excess.mean, 3)} "
            f"({words.spread(head.excess, 3)}), percentile "
            f"{words.number(head.percentile)}",
        )


def _kind_table(kinds: tuple[KindElsewhere, ...]) -> Table:
    return Table(
        columns=("kind", "texts", "percentile of the named heads", "p"),
        rows=tuple(
            Row(
                name=kind.kind,
                cells=(
                    Cell(text=str(kind.texts)),
                    Cell(text=words.number(kind.percentile)),
                    Cell(
                        text=words.MISSING
                        if kind.p_value is None
                        else words.p_value(kind.p_value)
                    ),
                ),
            )
            for kind in kinds
        ),
    )


def _head_table(heads: tuple[HeadElsewhere, ...]) -> Table:
    return Table(
        columns=(
            "head", "kind", "enumerators", "other tokens", "excess", "percentile", "p",
        ),
        rows=tuple(
            Row(
                name=head.name,
                cells=(
                    Cell(text=head.kind),
                    *map(_cell, (head.share, head.control, head.excess)),
                    Cell(text=words.number(head.percentile)),
                    Cell(text=words.p_value(head.p_value)),
                ),
                role="blue" if head.is_letter_head else "",
            )
            for head in sorted(heads, key=lambda h: (h.name, h.kind))
        ),
    )  # fmt: skip


def _cell(found: Interval) -> Cell:
    return Cell(text=words.number(found.mean, 3), below=words.spread(found, 3))


def _example(shown: TextShown) -> Example:
    end = max([token.received for token in shown.tokens], default=0.0) or 1.0
    return Example(
        title=f"{shown.kind}, {shown.head}: ",
        tokens=tuple(
            Token(
                text=token.text,
                step=palette.step_of(token.received / end),
                is_enumerator=token.is_enumerator,
                tip=words.number(token.received, 4),
            )
            for token in shown.tokens
        ),
    )
