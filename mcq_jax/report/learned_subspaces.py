"""Variables in a few dimensions: learned, beside the arbitrary target and the means."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import LearnedFound, LearnedSubspacesFindings, RunResults

_SCOPE = (
    "A subspace that moves answers was made to; only its margin over an arbitrary "
    "target of the same variable, both without what nothing downstream reads, says "
    "that the model has that variable there. Only linear coordinates of the last "
    "token's residual stream are looked for."
)
_LINES = (
    ("learned", "learned", palette.BLUE, "-o"),
    ("control", "arbitrary target", palette.GREY, "--s"),
    ("class_means", "class means", palette.GREEN, "-^"),
    ("whole", "everything", palette.ORANGE, ":"),
)


def section(run: RunResults) -> Section | None:
    found = run.get(LearnedSubspacesFindings)
    if found is None or not found.found:
        return None
    kinds = list(dict.fromkeys((one.variable, one.form) for one in found.found))
    learned = words.count(found.learned_questions, "question")
    return Section(
        anchor="learned",
        short="Learned",
        title="A variable in a few dimensions?",
        text=f"{found.rank} dimensions of the last token's residual stream, learned on "
        f"{learned} in {found.steps} steps so that interchanging them moves the answer "
        "to where the source's place, or letter, stands. Read on other questions, and "
        "under labels that were not learned on. The arbitrary target is the place, or "
        "letter, after the source's, learned as long.",
        figures=tuple(
            _plate(found, kind, number) for number, kind in enumerate(kinds, 1)
        ),
        tables=(
            Titled(
                table=_table(found),
                note="Shares of interchanges after which the base answers as told, "
                "where that is another answer than its own. Read part: without what "
                "nothing downstream reads; unread: that share of the subspace. Margin: "
                "of the read part over the arbitrary target's.",
            ),
        ),
        scope=(_SCOPE,),
        experiment="learned_subspaces",
    )


def _plate(
    found: LearnedSubspacesFindings, kind: tuple[str, str], number: int
) -> Plate:
    variable, form = kind
    rows = [one for one in found.found if (one.variable, one.form) == kind]
    return Plate(
        name=f"learned-{number}",
        title=f"The {words.readable(variable)}, read on {words.readable(form)} labels",
        caption="By the layer in front of which the coordinates are interchanged. "
        "Learned beside the arbitrary target of the same variable, the class means' "
        "subspace and the whole residual. Bands: 95 %, two-way over questions.",
        sample=f"n = {words.count(found.read_questions, 'question')}",
        draw=lambda run: by_layer(rows),
    )


@canvas.styled
def by_layer(rows: list[LearnedFound]) -> Figure:
    figure = canvas.new_figure(7.2, 3.2)
    axes = figure.subplots()
    for level in (0, 1):
        axes.axhline(level, color=palette.PALE, linewidth=0.9)
    for name, title, colour, style in _LINES:
        points = [(one.layer, getattr(one, name)) for one in rows]
        _line(axes, title, colour, style, points)
    axes.set(
        xlabel="layer in front of which it enters", ylabel="answers as told, share"
    )
    axes.set_xticks([one.layer for one in rows])
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _line(
    axes: Axes, name: str, colour: str, style: str, points: list[tuple[int, Interval]]
) -> None:
    layers = [layer for layer, _ in points]
    lows, highs = ([getattr(f, side) for _, f in points] for side in ("low", "high"))
    axes.fill_between(layers, lows, highs, color=colour, alpha=0.14, linewidth=0)
    axes.plot(layers, [f.mean for _, f in points], style, color=colour, label=name,
              markersize=3.5, linewidth=1.5)  # fmt: skip


def _table(found: LearnedSubspacesFindings) -> Table:
    return Table(
        columns=(
            "variable, layer, labels", "learned", "arbitrary", "read part",
            "arbitrary's read part", "margin", "class means", "everything", "unread",
        ),
        rows=tuple(_row(one) for one in found.found),
    )  # fmt: skip


def _row(one: LearnedFound) -> Row:
    shares = (
        one.learned, one.control, one.read_part, one.control_read_part, one.margin,
        one.class_means, one.whole,
    )  # fmt: skip
    notes = [
        "moves answers only with a part that nothing reads" * one.is_illusion,
        "fewer than 20 questions on a side" * one.too_few,
    ]
    return Row(
        name=f"{words.readable(one.variable)}, {one.layer}, {words.readable(one.form)}",
        cells=(
            *(
                Cell(text=words.MISSING)
                if share is None
                else Cell(text=words.number(share.mean), below=words.spread(share))
                for share in shares
            ),
            Cell(text=words.percent(one.unread_share)),
        ),
        note="; ".join(note for note in notes if note),
    )
