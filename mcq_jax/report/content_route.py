"""The content's way: tokens that hold it layer by layer, and heads that fetch it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    ContentRouteFindings,
    GathererFound,
    RunResults,
    SpanFound,
    SweepFound,
)

_SCOPE = (
    "Interchanged tokens say where what makes the difference between two orders of the "
    "options stands; what is the same in both, such as the question's own word, moves "
    "nothing. A gatherer is a head that looks at the right line's end; whether it is "
    "needed, its effects say."
)
_MOST = 16
# Colours of rows: by kind of token; solid for the right line, dashed for the others.
_COLOURS = {
    "question": palette.GREY,
    "labels": palette.ROLES["sky"][0],
    "option text": palette.ORANGE,
    "line ends": palette.GREEN,
    "cue": palette.ROLES["olive"][0],
    "last token": palette.BLUE,
}


def section(run: RunResults) -> Section | None:
    found = run.get(ContentRouteFindings)
    if found is None:
        return None
    return Section(
        anchor="content_route",
        short="Content",
        title="By which tokens the content comes",
        text=_text(found),
        figures=tuple(
            Plate(
                name=f"content_spans-{number}",
                title=f"Where the difference stands, layer by layer ({sweep.prompts})",
                caption="The residual stream of some tokens is taken from another "
                "order of the options in front of a layer. 1: the answer is that "
                "order's. Solid: of the right option's line; dashed: of the other "
                "lines. Bands: 95 % intervals over questions. Thin grey: the largest "
                "that a placebo moves, another question with the same right line.",
                sample=f"n = {words.count(sweep.difference.questions, 'question')}, "
                f"{words.count(sweep.left_out, 'prompt')} without an aligned order"
                + _absent(sweep),
                draw=lambda run, sweep=sweep: span_lines(sweep),
            )
            for number, sweep in enumerate(found.sweeps, 1)
            if sweep.spans
        ),
        tables=(
            Titled(
                table=_gatherer_table(found.gatherers[:_MOST]),
                title="Gatherers",
                note="Chosen on the fitting questions, read on the others. By chance, "
                "with another line taken for the right one, "
                f"{words.number(found.by_chance, 1)} heads pass."
                + _cut(len(found.gatherers) - _MOST),
            ),
        )
        if found.gatherers
        else (),
        scope=(_SCOPE,),
        experiment="content_route",
    )


def _absent(sweep: SweepFound) -> str:
    if not sweep.absent:
        return ""
    return f"; not in every prompt, so without a line: {'; '.join(sweep.absent)}"


def _text(found: ContentRouteFindings) -> str:
    said = [
        f"Interchange in {sweep.prompts} is refused: {sweep.refused}"
        for sweep in found.sweeps
        if sweep.refused
    ]
    count = words.count(len(found.gatherers), "head")
    said.append(
        f"{count} look, from behind the options, at the end of the right line at least "
        f"twice as much as at another's; with a wrong line taken for the right one it "
        f"is {words.number(found.by_chance, 1)}."
    )
    return " ".join(said)


@canvas.styled
def span_lines(sweep: SweepFound) -> Figure:
    """Shares by layer, a line per kind of token."""
    figure = canvas.new_figure(7.4, 3.9)
    axes = figure.subplots()
    for level in (0, 1):
        axes.axhline(level, color=palette.PALE, linewidth=0.9)
    for name in dict.fromkeys(span.tokens for span in sweep.spans):
        _line(axes, name, [s for s in sweep.spans if s.tokens == name])
    _placebo(axes, sweep)
    axes.set(xlabel="layer in front of which it enters", ylabel="share of the effect")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _line(axes: Axes, name: str, spans: list[SpanFound]) -> None:
    kind, _, which = name.partition(", ")
    colour = _COLOURS.get(kind, palette.INK)
    layers = [span.layer for span in spans]
    lows, highs = ([getattr(s.rotation, side) for s in spans] for side in _SIDES)
    axes.fill_between(layers, lows, highs, color=colour, alpha=0.14, linewidth=0)
    axes.plot(
        layers, [s.rotation.mean for s in spans], marker="o", color=colour,
        label=words.short(name, 28),
        linestyle="--" if which == "other lines" else "-", markersize=3, linewidth=1.5,
    )  # fmt: skip


_SIDES = ("low", "high")


def _placebo(axes: Axes, sweep: SweepFound) -> None:
    largest: dict[int, float] = {}
    for span in sweep.spans:
        if span.placebo is not None:
            here = largest.get(span.layer, 0.0)
            largest[span.layer] = max(here, span.placebo.mean, key=abs)
    if largest:
        axes.plot(
            list(largest), list(largest.values()), color=palette.GREY, linewidth=0.8,
            label="placebo, the largest",
        )  # fmt: skip


def _gatherer_table(found: tuple[GathererFound, ...]) -> Table:
    return Table(
        columns=("head", "from", "right line's end", "another's", "direct effect",
                 "total effect"),
        rows=tuple(
            Row(
                name=one.name,
                cells=(
                    Cell(text="the last token" if one.token == -1
                         else f"token {words.number(one.token, 0)}"),
                    _cell(one.right),
                    _cell(one.wrong),
                    _cell(one.direct),
                    _cell(one.total),
                ),
            )
            for one in found
        ),
    )  # fmt: skip


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))


def _cut(over: int) -> str:
    return f" {over} more are in the file of findings." if over > 0 else ""
