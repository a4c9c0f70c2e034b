"""The figure of transfer: recovery of every set on every task."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.report import canvas, palette, words
from mcq_jax.results import RunResults, SetTransferred, TransferFindings

_COLOURS = {
    "own": palette.BLUE,
    "other task": palette.ORANGE,
    "next best": palette.GREEN,
    "random": palette.GREY,
}


@canvas.styled
def recoveries(run: RunResults) -> Figure:
    """Sufficiency of every set on every task, targets side by side."""
    found = run.get(TransferFindings)
    assert found is not None
    targets = list(dict.fromkeys(one.target for one in found.sets))
    figure = canvas.new_figure(max(5.0, 1.6 + 1.9 * len(targets)), 3.7)
    axes = figure.subplots()
    for level in (0, 1):
        axes.axhline(level, color=palette.PALE, linewidth=0.9)
    for place, target in enumerate(targets):
        _draw_target(axes, [s for s in found.sets if s.target == target], place)
    names = [words.short(target, 18) for target in targets]
    axes.set_xticks(range(len(targets)), names)
    axes.set(xlim=(-0.6, len(targets) - 0.4), xlabel="tested on", ylabel="sufficiency")
    kinds = dict.fromkeys(one.kind for one in found.sets)
    for kind in kinds:
        axes.plot([], [], "o", color=_colour(kind), label=words.short(kind, 18))
    figure.legend(loc="outside lower center", ncols=len(kinds))
    return figure


def _draw_target(axes: Axes, sets: list[SetTransferred], place: int) -> None:
    shown = [one for one in sets if one.sufficiency is not None]
    shown.sort(key=lambda one: (one.kind != "own", one.source, one.kind))
    step = min(0.16, 0.8 / max(len(shown), 1))
    for number, one in enumerate(shown):
        assert one.sufficiency is not None
        across = place + step * (number - (len(shown) - 1) / 2)
        colour = _colour(one.kind)
        axes.plot([across] * 2, [one.sufficiency.low, one.sufficiency.high],
                  color=colour, linewidth=1.3)  # fmt: skip
        mark = axes.plot(across, one.sufficiency.mean, "o", color=colour,
                         markersize=5.5)[0]  # fmt: skip
        if one.kind in ("own", "other task"):
            axes.annotate(
                words.short(one.source, 12), (across, one.sufficiency.high), (0, 3),
                textcoords="offset points", ha="center", va="bottom", fontsize=7,
                rotation=90,
            )  # fmt: skip
        canvas.tip(
            mark,
            f"{one.kind}, {one.source} on {one.target}, {one.size} nodes: "
            f"{words.number(one.sufficiency.mean)} ({words.spread(one.sufficiency)})",
        )
    axes.margins(y=0.16)


def _colour(kind: str) -> str:
    return _COLOURS.get(kind, palette.INK)
