"""Figures of the ladder: rungs, ranks, and ranks against the number of options."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mcq_jax.report import canvas, palette, words
from mcq_jax.results import LadderFindings, LadderFound, PartsFound, RungFound

_RANK_COLOURS = {
    "score-optimal": palette.BLUE,
    "most variance": palette.ORANGE,
    "random": palette.GREY,
}


def _panels(one: LadderFound) -> list[PartsFound]:
    return [parts for parts in one.parts if not parts.refused]


@canvas.styled
def rungs(one: LadderFound) -> Figure:
    """Recovered shares of means and of other prompts' content, with their control."""
    panels = _panels(one)
    figure = canvas.new_figure(max(4.5, 2.1 * len(panels)), 4.4)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, parts in zip(grid, panels, strict=True):
        means = [r for r in one.rungs if r.parts == parts.parts and r.kind == "means"]
        shown = [rung for rung in means if rung.recovered is not None]
        names = [rung.name for rung in shown]
        alike = [
            rung
            for rung in one.rungs
            if rung.parts == parts.parts
            and rung.kind == "others alike"
            and rung.name in names
        ]
        _levels(axes)
        for place, rung in enumerate(shown):
            _mark(axes, rung, place - 0.12, palette.BLUE, filled=True)
            if rung.random is not None:
                _bar(axes, place + 0.24, rung.random, palette.GREY, "s", True,
                     f"{rung.name}, random subspace")  # fmt: skip
        for rung in alike:
            _mark(axes, rung, names.index(rung.name) + 0.06, palette.ORANGE, False)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_xlim(-0.6, max(0.6, len(names) - 0.4))
        axes.set_title(f"{parts.parts}: {words.percent(parts.share.mean)} of net logit")
    grid[0].set_ylabel("recovered")
    _legend(
        figure, grid[0],
        (("means", palette.BLUE, "o", True),
         ("others alike", palette.ORANGE, "o", False),
         ("random subspace", palette.GREY, "s", True)),
    )  # fmt: skip
    return figure


def _levels(axes: Axes) -> None:
    for level in (0, 1):
        axes.axhline(level, color=palette.PALE, linewidth=0.9)


def _mark(axes: Axes, rung: RungFound, x: float, colour: str, filled: bool) -> None:
    if rung.recovered is not None:
        _bar(axes, x, rung.recovered, colour, "o", filled, f"{rung.kind}, {rung.name}")


def _bar(axes: Axes, x: float, found, colour, marker, filled: bool, said: str) -> None:
    axes.plot([x] * 2, [found.low, found.high], color=colour, linewidth=1.4)
    mark = axes.plot(
        x, found.mean, marker, color=colour, markersize=4.8,
        markerfacecolor=colour if filled else palette.PAPER,
    )[0]  # fmt: skip
    canvas.tip(mark, f"{said}: {words.number(found.mean)} ({words.spread(found)})")


def _legend(figure: Figure, axes: Axes, entries: Sequence[tuple]) -> None:
    for label, colour, marker, filled in entries:
        face = colour if filled else palette.PAPER
        axes.plot([], [], marker, color=colour, markerfacecolor=face, label=label)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


@canvas.styled
def ranks(one: LadderFound, enough: float) -> Figure:
    """Recovered share by rank: score-optimal, most variance, random."""
    panels = _panels(one)
    figure = canvas.new_figure(max(4.5, 2.1 * len(panels)), 3.2)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, parts in zip(grid, panels, strict=True):
        _levels(axes)
        axes.axhline(enough, color=palette.PALE, linewidth=0.9, linestyle="--")
        for kind, colour in _RANK_COLOURS.items():
            _curve(axes, one, parts.parts, kind, colour)
        needed = "more" if parts.needed is None else str(parts.needed)
        axes.set(title=f"{parts.parts}: {needed} needed", xlabel="dimensions")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[0].set_ylabel("recovered")
    entries = [(kind, colour, ".", True) for kind, colour in _RANK_COLOURS.items()]
    _legend(figure, grid[0], entries)
    return figure


def _curve(axes: Axes, one: LadderFound, parts: str, kind: str, colour: str) -> None:
    found = sorted(
        (rung.dimensions, rung.recovered)
        for rung in one.rungs
        if (rung.parts, rung.kind) == (parts, kind)
        and rung.dimensions is not None
        and rung.recovered is not None
    )
    if not found:
        return
    sizes = [0, *(size for size, _ in found)]
    lows, highs, means = (
        [0.0, *(getattr(one, side) for _, one in found)]
        for side in ("low", "high", "mean")
    )
    axes.fill_between(sizes, lows, highs, color=colour, alpha=0.16, linewidth=0)
    axes.plot(sizes, means, "-", color=colour, linewidth=1.4)
    for size, value in found:
        dot = axes.plot(size, value.mean, ".", color=colour, markersize=6)[0]
        canvas.tip(
            dot,
            f"{kind}, {size} dimensions: {words.number(value.mean)} "
            f"({words.spread(value)})",
        )


@canvas.styled
def by_options(found: LadderFindings) -> Figure:
    """Dimensions needed against the number of options."""
    figure = canvas.new_figure(4.6, 3.2)
    axes = figure.subplots()
    counts = sorted({one.choices for one in found.sets})
    axes.plot(counts, [count - 1 for count in counts], color=palette.PALE,
              label="a simplex")  # fmt: skip
    axes.plot(counts, [2] * len(counts), color=palette.PALE, linestyle="--",
              label="a convex curve")  # fmt: skip
    for one in found.sets:
        for parts in one.parts:
            if parts.parts != "QK" or parts.needed is None:
                continue
            mark = axes.plot(one.choices, parts.needed, "o", color=palette.BLUE)[0]
            canvas.tip(mark, f"{one.prompts}: {parts.needed} of {one.choices} options")
            axes.plot(one.choices, parts.of_score, "x", color=palette.ORANGE)
    enough = f"{words.percent(found.enough)} recovered"
    axes.plot([], [], "o", color=palette.BLUE, label=enough)
    axes.plot([], [], "x", color=palette.ORANGE, label="99 % of the score")
    axes.set(xlabel="options", ylabel="dimensions of queries and keys")
    axes.set_xticks(counts)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2)
    return figure
