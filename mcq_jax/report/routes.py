"""Over which tokens the answer comes to the last one: cuts and interchanges."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    EVERY_HEAD,
    RouteCut,
    RoutesFindings,
    RoutesFound,
    RouteSwap,
    RunResults,
)

_SCOPE = (
    "Routes are those of the last token's own attention: what comes to it by way of "
    "other tokens of the cue counts as another route. A cut says that a way is needed, "
    "an interchange that what makes the difference stands there; a way can be needed "
    "though the same stands there for every answer. Correct-letter heads were named on "
    "the same questions."
)
_COLOURS = {
    "labels": palette.BLUE,
    "option ends": palette.ORANGE,
    "labels and ends": palette.GREEN,
    "all others": palette.GREY,
}


def section(run: RunResults) -> Section | None:
    found = run.get(RoutesFindings)
    if found is None:
        return None
    sample = words.count(found.questions, "question")
    return Section(
        anchor="routes",
        short="Routes",
        title="Over which tokens the answer comes",
        text=_text(found),
        figures=(
            Plate(
                name="route_cuts",
                title="What is left without a route",
                caption="The last token's attention to some tokens is cut, in all "
                "layers and in stretches of them; share of the right letter's net "
                "logit that is left. Full: the rest of its attention is scaled up to "
                "1; open: it is not. Option ends: the last token of an option, and the "
                "line break. Bars: 95 % intervals over questions.",
                sample=f"n = {sample}",
                draw=cuts,
            ),
        ),
        tables=(*_along(found), *_by_set(found)),
        scope=(_SCOPE,),
        experiment="routes",
    )


def _along(found: RoutesFindings) -> Iterable[Titled]:
    if found.swaps and not found.refused:
        yield Titled(
            table=_swap_table(found.swaps),
            title="What goes along when tokens are read as in another prompt",
            note="Share of the effect of another order of the options. 1: the answer "
            "is that order's. Placebo: tokens of another question whose right letter "
            "is the same.",
        )


def _by_set(found: RoutesFindings) -> Iterable[Titled]:
    """The main prompts beside those with other labels."""
    if found.others:
        every = (found, *found.others)
        who = list(dict.fromkeys((s.who, s.tokens) for s in found.swaps))
        yield Titled(
            table=Table(
                columns=(
                    "prompts", "net logit", *(_written(*one) for one in who), "n",
                ),
                rows=tuple(_set_row(one, who) for one in every),
            ),
            title="By label set",
            note="The share of the effect that goes along with all that is read of "
            "these tokens. A dash: no effect to share, or tokens that stand for no "
            "others.",
        )  # fmt: skip


def _written(who: str, tokens: str) -> str:
    return tokens if who == EVERY_HEAD else who


def _set_row(found: RoutesFound, who: list[tuple[str, str]]) -> Row:
    # The last of each names all parts that are interchanged.
    whole = {(s.who, s.tokens): s.rotation for s in found.swaps}
    shares = [None if found.refused else whole.get(one) for one in who]
    return Row(
        name=words.readable(found.prompts),
        cells=(
            _share(found.net),
            *map(_share, shares),
            Cell(text=str(found.questions)),
        ),
    )


def _text(found: RoutesFindings) -> str:
    net, other = found.net, found.difference
    said = (
        f"The right letter's net logit is {words.number(net.mean)} "
        f"({words.spread(net)}); another order of the options takes "
        f"{words.number(other.mean)} ({words.spread(other)}) from it. "
    )
    if found.refused:
        return said + f"No shares of that: {found.refused}"
    if found.letter_heads:
        said += f"Correct-letter heads: {', '.join(found.letter_heads)}."
    else:
        said += "No correct-letter heads were named, so none has a share."
    closed = [words.readable(name) for name in found.closed]
    return said + f" No routes of {', '.join(closed)}: the gate is closed." * bool(
        closed
    )


@canvas.styled
def cuts(run: RunResults) -> Figure:
    """Net logit that is left, by tokens and layers."""
    found = run.get(RoutesFindings)
    assert found is not None
    stretches = list(dict.fromkeys((c.first_layer, c.last_layer) for c in found.cuts))
    figure = canvas.new_figure(max(5.0, 2.2 + 1.5 * len(stretches)), 3.6)
    axes = figure.subplots()
    for level in (0, 1):
        axes.axhline(level, color=palette.PALE, linewidth=0.9)
    names = list(dict.fromkeys(cut.tokens for cut in found.cuts))
    for cut in found.cuts:
        place = stretches.index((cut.first_layer, cut.last_layer))
        aside = 0.17 * (names.index(cut.tokens) - (len(names) - 1) / 2)
        _draw_cut(axes, cut, place + aside + 0.05 * (not cut.renormalised))
    for name in names:
        axes.plot([], [], "o", color=_COLOURS.get(name, palette.INK), label=name)
    axes.set_xticks(range(len(stretches)), [_layers(*s) for s in stretches])
    axes.set(xlabel="layers in which attention is cut", ylabel="share that is left")
    figure.legend(loc="outside lower center", ncols=len(names))
    return figure


def _draw_cut(axes: Axes, cut: RouteCut, place: float) -> None:
    colour = _COLOURS.get(cut.tokens, palette.INK)
    axes.plot([place] * 2, [cut.left.low, cut.left.high], color=colour, linewidth=1.4)
    face = colour if cut.renormalised else palette.PAPER
    mark = axes.plot(
        place, cut.left.mean, "o", color=colour, markerfacecolor=face, markersize=5.5
    )[0]
    scaled = "rest scaled up" if cut.renormalised else "rest as it was"
    where = _layers(cut.first_layer, cut.last_layer)
    canvas.tip(
        mark,
        f"without {cut.tokens}, layers {where}, {scaled}: "
        f"{words.number(cut.left.mean)} ({words.spread(cut.left)})",
    )


def _layers(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


def _swap_table(swaps: Iterable[RouteSwap]) -> Table:
    return Table(
        columns=("who reads", "tokens", "what of them", "another order", "placebo"),
        rows=tuple(
            Row(
                name=swap.who,
                cells=(
                    Cell(text=swap.tokens),
                    Cell(text=swap.parts),
                    _share(swap.rotation),
                    _share(swap.placebo),
                ),
            )
            for swap in swaps
        ),
    )


def _share(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
