"""Decodable and used, side by side: kind of token × layer, for place and for letter."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, cells, palette, words
from mcq_jax.report.section import FIRST_ROWS, Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import DecideThenBindFindings, DecodedAt, RunResults, UsedAt

_PROBED = ("correct", "place", "letter")
_SCOPE = (
    "A probe says that something can be read, not that anything reads it; an "
    "interchange moves all that the tokens hold, and also what they were asked for: "
    "where it makes the base give neither answer, nothing is said of what stands there."
)


def section(run: RunResults) -> Section | None:
    found = run.get(DecideThenBindFindings)
    if found is None or not found.place:
        return None
    sample = (
        f"n = {words.count(found.questions, 'question')} of the bases, probes read on "
        f"{found.probed_questions}"
    )
    return Section(
        anchor="bind",
        short="Decide, bind",
        title="Where it is decided, bound, and used",
        text="The residual stream of one kind of token, all lines at once, is taken "
        "from a source prompt in front of a layer: with letters of which none is "
        "shared, to move the place; with the right option on one line, to move the "
        "letter. Beside it, what a linear probe reads off the same tokens of other "
        "questions, less what it reads of control tasks (labels drawn once for each "
        "place and letter). What can be read and moves nothing is read by nobody.",
        figures=(
            Plate(
                name="bind-tokens",
                title="Decodable, and used",
                caption="Left: the choice follows the source's place (follow-D, "
                f"{words.readable(found.place_form)}), or its letter within a place "
                "(share of choices). Right: selectivity of linear probes, accuracy "
                "less that of control tasks.",
                sample=sample,
                draw=lambda run: used_beside_decoded(found),
            ),
        ),
        tables=(
            Titled(
                table=_used_table(found),
                title="Used",
                shown=FIRST_ROWS,
                note="Follow-D of the place across label sets; share of choices on the "
                "letter within a place; how often the base keeps its own answer.",
            ),
            Titled(
                table=_decoded_table(found),
                title="Decodable",
                shown=FIRST_ROWS,
                note="Accuracy on questions that no probe was fitted on, that of "
                f"control tasks below; chance is {words.number(1 / found.choices)}. "
                "Correct: one probe for every line. Place, letter: of all lines "
                "together.",
            ),
        ),
        scope=(_SCOPE,),
        experiment="decide_then_bind",
    )


@canvas.styled
def used_beside_decoded(found: DecideThenBindFindings) -> Figure:
    figure = canvas.new_figure(7.6, 4.6)
    grid = figure.subplots(2, 2, sharex=True, sharey=True)
    for (left, right), name, used in zip(
        grid, ("place", "letter"), (found.place, found.letter), strict=True
    ):
        _tiles(left, f"{name}: used", {_key(u): u.follows for u in used})
        read = {_key(d): d.selectivity for d in found.decoded if d.what == name}
        _tiles(right, f"{name}: decodable", read)
    for axes in grid[1]:
        axes.set_xlabel("in front of layer")
    return figure


def _key(one: UsedAt | DecodedAt) -> tuple[str, int]:
    return one.tokens, one.layer


def _tiles(axes: Axes, title: str, values: dict[tuple[str, int], Interval]) -> None:
    kinds = list(dict.fromkeys(kind for kind, _ in values))
    layers = list(dict.fromkeys(layer for _, layer in values))
    if not values:
        axes.set_axis_off()
        return
    for row, kind in enumerate(kinds):
        for column, layer in enumerate(layers):
            value = values[kind, layer]
            shade = max(0.0, value.mean)
            cells.draw_cell(
                axes, (column, row), palette.SHARES[palette.step_of(shade)],
                tip=f"{kind}, layer {layer}: {words.number(value.mean)} "
                f"({words.spread(value)})",
            )  # fmt: skip
            text = words.number(value.mean, 1)
            if len(layers) <= 16:
                cells.write_in(axes, (column, row), text, fraction=shade, size=7)
    axes.set(xlim=(0, len(layers)), ylim=(len(kinds), 0), title=title)
    axes.set_xticks(
        [i + 0.5 for i in range(len(layers))], [str(layer) for layer in layers]
    )
    axes.set_yticks(
        [i + 0.5 for i in range(len(kinds))], [words.short(kind, 20) for kind in kinds]
    )
    canvas.bare(axes)


def _used_table(found: DecideThenBindFindings) -> Table:
    letter = {_key(one): one for one in found.letter}
    rows = []
    for one in found.place:
        other = letter.get(_key(one))
        rows.append(
            Row(
                name=f"{one.tokens}, layer {one.layer}",
                cells=(
                    _cell(one.follows), _cell(one.stays),
                    _cell(other and other.follows), _cell(other and other.stays),
                ),
            )
        )  # fmt: skip
    return Table(
        columns=("tokens", "place followed", "stays", "letter followed", "stays"),
        rows=tuple(rows),
    )


def _decoded_table(found: DecideThenBindFindings) -> Table:
    by_key: dict[tuple[str, int], dict[str, DecodedAt]] = {}
    for one in found.decoded:
        by_key.setdefault(_key(one), {})[one.what] = one
    return Table(
        columns=("tokens", *_PROBED),
        rows=tuple(
            Row(
                name=f"{kind}, layer {layer}",
                cells=tuple(_probe(read.get(w)) for w in _PROBED),
            )
            for (kind, layer), read in by_key.items()
        ),
    )


def _probe(one: DecodedAt | None) -> Cell:
    if one is None:
        return Cell(text=words.MISSING)
    return Cell(
        text=f"{words.number(one.accuracy.mean)} ({words.spread(one.accuracy)})",
        below=f"control {words.number(one.control.mean)}",
    )


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
