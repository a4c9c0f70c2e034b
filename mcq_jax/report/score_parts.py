"""Score contrasts of heads in parts: bars that add up to the total, and a table."""

from matplotlib.figure import Figure

from mcq_jax.report import canvas, palette, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import HeadScoreParts, RunResults, ScorePartsFindings

_PARTS = {
    "place": palette.BLUE, "letter": palette.ORANGE, "cross": palette.GREEN,
    "seen": palette.INK, "mean": palette.PALE, "rest": palette.GREY,
}  # fmt: skip
_SCOPE = (
    "Parts say of what a head's preference is made in these prompts, by sums of "
    "effects; how little of queries and keys the sums explain limits them."
)


def section(run: RunResults) -> Section | None:
    found = run.get(ScorePartsFindings)
    if found is None or not found.parts:
        return None
    return Section(
        anchor="parts",
        short="Parts",
        title="What the heads' preference is made of",
        text="The right label's score less the mean of the others', with queries and "
        "keys as sums of effects of place, of letter, and of whether the right option "
        "was seen already; fitted on other questions than it is read on.",
        figures=(
            Plate(
                name="score-parts",
                title="Score contrast in parts",
                caption="Bars add up to the contrast (mark). Mean: what the average "
                "query prefers; rest: what sums of effects leave over.",
                sample=f"n = {words.count(found.questions, 'question')}",
                draw=lambda run: stacked(found.parts),
            ),
        ),
        tables=(
            Titled(
                table=_table(found),
                note="In units of the score. Explained: share of the variance of "
                "queries, keys in questions that were not fitted on.",
            ),
        ),
        scope=(_SCOPE,),
        experiment="score_parts",
    )


@canvas.styled
def stacked(parts: tuple[HeadScoreParts, ...]) -> Figure:
    figure = canvas.new_figure(7.2, 1.2 + 0.32 * len(parts))
    axes = figure.subplots()
    for row, one in enumerate(parts):
        ends = {True: 0.0, False: 0.0}
        for name, colour in _PARTS.items():
            value = getattr(one, name)
            side = value.mean >= 0
            bar = axes.barh(
                row, value.mean, 0.7, left=ends[side], color=colour,
                label=name if row == 0 else None,
            )  # fmt: skip
            ends[side] += value.mean
            text = f"{one.head}, {name}: {words.number(value.mean)}"
            canvas.tip(bar[0], f"{text} ({words.spread(value)})")
        axes.plot(one.total.mean, row, "|", color=palette.INK, markersize=14)
    names = [
        f"{words.short(p.head)}, {words.short(words.readable(p.scheme), 28)}"
        for p in parts
    ]
    axes.set_yticks(range(len(parts)), names)
    axes.set(ylim=(len(parts) - 0.5, -0.5), xlabel="score contrast")
    axes.axvline(0, color=palette.PALE, linewidth=0.9)
    figure.legend(loc="outside lower center", ncols=6)
    return figure


def _table(found: ScorePartsFindings) -> Table:
    return Table(
        columns=("head, labels", "total", *_PARTS, "explained"),
        rows=tuple(
            Row(
                name=f"{one.head}, {words.readable(one.scheme)}",
                cells=(
                    *(
                        Cell(text=words.number(value.mean), below=words.spread(value))
                        for value in (one.total, *(getattr(one, p) for p in _PARTS))
                    ),
                    Cell(
                        text=words.percent(one.explained_of_queries),
                        below=words.percent(one.explained_of_keys),
                    ),
                ),
            )
            for one in found.parts
        ),
    )
