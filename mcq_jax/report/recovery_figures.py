"""Figures of joint patching: what a set restores, and what goes without it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, picks, words
from mcq_jax.results import JointFound, RunResults

_MARKERS = {"selected": "D", "next_best": "s", "random": "o", "all": "P"}
_ORDER = ("random", "next_best", "selected", "all")


@canvas.styled
def recovery(run: RunResults) -> Figure:
    """Sufficiency and necessity by the size of the set, with the sets to compare."""
    figure = canvas.new_figure(10.8, 4.0)
    for axes, reading, title in zip(
        figure.subplots(1, 2, sharey=True),
        ("sufficiency", "necessity"),
        ("Sufficient: clean nodes in the source run", "Necessary: the other way round"),
        strict=True,
    ):
        for level in (0, 1):
            axes.axhline(level, color=palette.PALE, linewidth=0.9)
        _draw_curve(axes, run, reading)
        for kind in _ORDER:
            _draw_sets(axes, run, kind, reading)
        axes.set(title=title, xlabel="nodes patched together")
        _size_axis(axes, run)
    figure.axes[0].set_ylabel("share of the effect")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure


def _draw_curve(axes: Axes, run: RunResults, reading: str) -> None:
    """The cumulative curve: the best node, the best two, and so on."""
    points = [
        (joint.size, estimate)
        for joint in picks.sets(run, "cumulative")
        if (estimate := getattr(joint, reading)) is not None
    ]
    if not points:
        return
    sizes = [size for size, _ in points]
    colour = palette.SET_COLOURS["cumulative"]
    lows = [estimate.low for _, estimate in points]
    highs = [estimate.high for _, estimate in points]
    axes.fill_between(sizes, lows, highs, color=colour, alpha=0.16, linewidth=0)
    means = [estimate.mean for _, estimate in points]
    axes.plot(sizes, means, color=colour, linewidth=1.6, label="best nodes, one by one")
    for size, estimate in points:
        dot = axes.plot(size, estimate.mean, ".", color=colour, markersize=5)[0]
        canvas.tip(dot, f"best {size}: {_with_interval(estimate)}")


def _draw_sets(axes: Axes, run: RunResults, kind: str, reading: str) -> None:
    label = kind.replace("_", "-")
    for joint in picks.sets(run, kind):
        estimate = getattr(joint, reading)
        if estimate is None:
            continue
        place = _place(run, joint)
        colour = palette.SET_COLOURS[kind]
        low, high = [place] * 2, [estimate.low, estimate.high]
        axes.plot(low, high, color=colour, linewidth=1.6, zorder=3)
        mark = axes.plot(
            place,
            estimate.mean,
            _MARKERS[kind],
            color=colour,
            markersize=7.5,
            zorder=4,
            label=label,
        )[0]
        canvas.tip(mark, f"{label} {joint.size}: {_with_interval(estimate)}")
        label = "_nolegend_"


def _with_interval(estimate: Interval) -> str:
    return f"{words.number(estimate.mean)} ({words.spread(estimate)})"


def _largest_size(run: RunResults) -> int:
    sizes = [joint.size for joint in run.sets if joint.kind != "all"]
    return max(sizes, default=1)


def _place(run: RunResults, joint: JointFound) -> float:
    """Where a set stands: all nodes by themselves, like sizes side by side."""
    end = _largest_size(run)
    if joint.kind == "all":
        return 1.12 * end + 0.8
    aside = {"random": -1.0, "next_best": 1.0}.get(joint.kind, 0.0)
    return joint.size + aside * max(0.012 * end, 0.1)


def _size_axis(axes: Axes, run: RunResults) -> None:
    end = _largest_size(run)
    step = next(size for size in (1, 2, 5, 10, 20, 50, 10**6) if end / size <= 8)
    ticks: list[float] = [*range(0, end + 1, step)]
    names = [str(tick) for tick in ticks]
    for joint in picks.sets(run, "all")[:1]:
        ticks.append(_place(run, joint))
        names.append(f"all {joint.size}")
    axes.set_xticks(ticks, names)
    axes.grid(True, axis="y")
