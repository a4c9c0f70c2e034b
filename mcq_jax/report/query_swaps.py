"""Where a choice goes with something of a source in it: place, letter, nowhere."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.cards import Card, track
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    LETTER_HEADS,
    RANDOM_HEADS,
    Followed,
    QuerySwapsFindings,
    RunResults,
    SwapsFound,
)

_TITLES = {
    "place": "place", "letter": "letter", "content": "content", "rank": "letter's rank",
    "from_end": "place from the end", "offset": "token offset",
    "stays": "own answer kept",
}  # fmt: skip
_COLOURS = {
    "place": palette.BLUE, "letter": palette.ORANGE, "content": palette.GREEN,
    "rank": palette.ORANGE, "from_end": palette.GREEN, "offset": palette.ORANGE,
    "stays": palette.GREY,
}  # fmt: skip
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
        title="A place, a letter, or a content?",
        text="Queries of the correct-letter heads, or the last token's whole residual "
        "stream, are taken from another prompt whose right option stands on another "
        "line and carries another label. Follow-D is 1 where the choice always goes "
        "where the source points, and 0 where it does not depend on it. Where the "
        "lines must be apart, it is the share of choices on each; all lines alike "
        "would be chance. Random heads of the same layers stand beside.",
        figures=tuple(
            _plate(form, number)
            for number, form in enumerate(found.forms, 1)
            if _by_layer(form)
        ),
        tables=tuple(
            Titled(
                table=_table(form),
                title=_title(form),
                note=_note(form),
                shown=sum(map(_is_of_a_group, form.followed)) or None,
            )
            for form in found.forms
        ),
        cards=_cards(found.forms[0]),
        scope=(_SCOPE,),
        experiment="query_swaps",
    )


def _cards(form: SwapsFound) -> tuple[Card, ...]:
    """What the correct-letter heads' queries take along, in the card's first form."""
    read = {
        f.who: f for f in form.followed if f.layer is None and f.reading == "answer"
    }
    heads = read.get(LETTER_HEADS) or next(iter(read.values()), None)
    if heads is None:
        return ()
    others = {
        _TITLES[name]: value.mean
        for name, _ in _columns(form)
        if name != "place" and (value := getattr(heads, name)) is not None
    }
    random = read.get(RANDOM_HEADS)
    marks = () if random is None else ((random.place.mean, "random"),)
    return (
        Card(
            label=f"Query swap: place ({_measure(form)})",
            value=words.number(heads.place.mean),
            spread=words.spread(heads.place),
            sample=f"n = {words.count(form.questions, 'question')} of the bases",
            note="; ".join(
                [
                    words.readable(form.form) or _title(form).lower(),
                    *(f"{name} {words.number(mean)}" for name, mean in others.items()),
                    *(f"{name} heads {words.number(mean)}" for mean, name in marks),
                ]
            ),
            track=track(heads.place, 1.0, marks),
        ),
    )


def _title(form: SwapsFound) -> str:
    base, source = map(_written, (form.base, form.source))
    put = f"base {base}, source {source}"
    return f"{words.readable(form.form)}: {put}" if form.form else put.capitalize()


def _written(mutation: str) -> str:
    return "as it is" if mutation == "none" else words.readable(mutation)


def _note(form: SwapsFound) -> str:
    kind = "share of choices on the line" if form.is_rate else "follow-D"
    return (
        f"Given is the {kind}. Accuracy of the bases "
        f"{words.percent(form.base_accuracy)}, of the sources "
        f"{words.percent(form.source_accuracy)}; "
        f"{words.count(form.questions, 'question')} of the bases. A dash: base and "
        "source have none in common."
    )


def _by_layer(form: SwapsFound) -> list[tuple[int, Followed]]:
    return [(f.layer, f) for f in form.followed if f.layer is not None]


def _plate(form: SwapsFound, number: int) -> Plate:
    return Plate(
        name=f"swaps-{number}",
        title=f"Where a place turns into a letter ({_title(form).lower()})",
        caption="The last token's residual stream enters from the source in front of "
        f"a layer. Shown: {_measure(form)} of what the source points to, and how often "
        "the base keeps its own answer. Bands: 95 %, two-way over base and source "
        "questions.",
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
    for name, colour in _columns(form):
        points = [(at, value) for at, f in found if (value := getattr(f, name))]
        _line(axes, _TITLES[name], colour, points)
    axes.set(xlabel="layer in front of which it enters", ylabel=_measure(form))
    figure.legend(loc="outside lower center", ncols=4)
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
    columns = _columns(form)
    return Table(
        columns=("from the source", *(_TITLES[name] for name, _ in columns)),
        rows=tuple(
            Row(
                name=_name(found),
                cells=tuple(_cell(getattr(found, name)) for name, _ in columns),
                note="fewer than 20 questions on a side" if found.too_few else "",
            )
            for found in sorted(form.followed, key=_is_of_a_group, reverse=True)
        ),
    )


def _is_of_a_group(found: Followed) -> bool:
    """Whether it is of several heads at once, and not of one head or layer."""
    return found.layer is None and found.who in (LETTER_HEADS, RANDOM_HEADS)


def _columns(form: SwapsFound) -> list[tuple[str, str]]:
    """What is followed in a form: fields of `Followed`, and their colours."""
    return [
        (name, _COLOURS[name])
        for name in _TITLES
        if any(getattr(found, name) is not None for found in form.followed)
    ]


def _measure(form: SwapsFound) -> str:
    return "share of choices" if form.is_rate else "follow-D"


def _name(found: Followed) -> str:
    if found.layer is not None:
        return f"{found.who} in front of layer {found.layer}"
    if found.reading == "attention":
        return f"queries of {found.who}: its attention"
    return f"queries of {found.who}"


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
