"""Where a choice goes with something of a source in it: place, letter, nowhere."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import Followed, QuerySwapsFindings, RunResults, SwapsFound

_SCOPE = (
    "A choice that follows a place shows that heads ask for a line of the list in "
    "these prompts, not that they would in other lists; heads were named on other "
    "questions of the same task."
)


def section(run: RunResults) -> Section | None:
    found = run.get(QuerySwapsFindings)
    if found is None or not found.forms:
        return None
    return Section(
        anchor="swaps",
        short="Swaps",
        title="A place, or a letter?",
        text="Queries of the correct-letter heads, or the last token's whole residual "
        "stream, are taken from another question whose right option stands on another "
        "line and carries another label. Follow-D is 1 where the choice always goes "
        "where the source points, and 0 where it does not depend on it.",
        figures=tuple(
            _plate(form, number)
            for number, form in enumerate(found.forms, 1)
            if _by_layer(form)
        ),
        tables=tuple(
            Titled(
                table=_table(form),
                title=_title(form),
                note=f"Accuracy of the bases {words.percent(form.base_accuracy)}, of "
                f"the sources {words.percent(form.source_accuracy)}; "
                f"{words.count(form.questions, 'question')} of the bases. Letter: "
                "dash where base and source have none in common.",
            )
            for form in found.forms
        ),
        scope=(_SCOPE,),
        experiment="query_swaps",
    )


def _title(form: SwapsFound) -> str:
    return f"Base {form.base}, source {form.source}"


def _by_layer(form: SwapsFound) -> list[tuple[int, Followed]]:
    return [(f.layer, f) for f in form.followed if f.layer is not None]


def _plate(form: SwapsFound, number: int) -> Plate:
    return Plate(
        name=f"swaps-{number}",
        title=f"Where a place turns into a letter ({_title(form).lower()})",
        caption="The last token's residual stream enters from the source in front of "
        "a layer. Follow-D of the source's place and letter, and how often the base "
        "keeps its own answer. Bands: 95 %, two-way over base and source questions.",
        sample=f"n = {words.count(form.questions, 'question')}",
        draw=lambda run: follow_by_layer(form),
    )


@canvas.styled
def follow_by_layer(form: SwapsFound) -> Figure:
    figure = canvas.new_figure(7.2, 3.4)
    axes = figure.subplots()
    for level in (0, 1):
        axes.axhline(level, color=palette.PALE, linewidth=0.9)
    found = _by_layer(form)
    _line(axes, "place", palette.BLUE, [(at, f.place) for at, f in found])
    letters = [(at, f.letter) for at, f in found if f.letter is not None]
    _line(axes, "letter", palette.ORANGE, letters)
    _line(axes, "own answer kept", palette.GREY, [(at, f.stays) for at, f in found])
    axes.set(xlabel="layer in front of which it enters", ylabel="follow-D, share")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _line(
    axes: Axes, name: str, colour: str, found: list[tuple[int, Interval]]
) -> None:
    if not found:
        return
    layers = [layer for layer, _ in found]
    lows, highs = ([getattr(f, side) for _, f in found] for side in ("low", "high"))
    axes.fill_between(layers, lows, highs, color=colour, alpha=0.16, linewidth=0)
    axes.plot(layers, [f.mean for _, f in found], "-o", color=colour, label=name,
              markersize=3.5, linewidth=1.5)  # fmt: skip


def _table(form: SwapsFound) -> Table:
    return Table(
        columns=("from the source", "follows place", "follows letter", "stays"),
        rows=tuple(
            Row(
                name=_name(found),
                cells=(_cell(found.place), _cell(found.letter), _cell(found.stays)),
                note="fewer than 20 questions on a side" if found.too_few else "",
            )
            for found in form.followed
        ),
    )


def _name(found: Followed) -> str:
    if found.layer is None:
        return f"queries of {found.who}"
    return f"{found.who} in front of layer {found.layer}"


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
