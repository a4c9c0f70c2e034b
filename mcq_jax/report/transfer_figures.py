"""The figure of transfer: recovery of every task's set on every task."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.report import canvas, cells, palette, scales, words
from mcq_jax.results import RunResults, SetTransferred, TransferFindings

# What is patched, by the kinds of sets; a task's own stand on the diagonal.
_PANELS = {
    "the nodes of …": ("own", "other task"),
    "the next in rank": ("next best",),
    "random ones like these": ("random",),
}


@canvas.styled
def recoveries(run: RunResults) -> Figure:
    """Sufficiency, sources down and targets across: the sets, then their rivals."""
    sets = run.need(TransferFindings).sets
    sources = list(dict.fromkeys(one.source for one in sets))
    targets = list(dict.fromkeys(one.target for one in sets))
    panels = {
        title: [one for one in sets if one.kind in kinds]
        for title, kinds in _PANELS.items()
    }
    width = max(1.7, 0.72 * len(targets))
    height = 0.44 * len(sources)
    figure = canvas.new_figure(1.3 + 3 * width, height + 1.75)
    grid = figure.add_gridspec(2, len(panels), height_ratios=(height + 0.9, 0.16))
    names = [words.short(source, 16) for source in sources]
    for column, (title, shown) in enumerate(panels.items()):
        axes = figure.add_subplot(grid[0, column])
        _draw_panel(axes, shown, sources, targets)
        axes.set_title(title)
        axes.set_yticks(
            [number + 0.5 for number in range(len(sources))],
            names if not column else [""] * len(names),
        )
    cells.draw_scale(
        figure.add_subplot(grid[1, :]), 1.0, "recovered of the net logit (sufficiency)",
        place=scales.linear,
    )  # fmt: skip
    return figure


def _draw_panel(
    axes: Axes, sets: list[SetTransferred], sources: list[str], targets: list[str]
) -> None:
    for one in sets:
        at = (float(targets.index(one.target)), float(sources.index(one.source)))
        _draw_set(axes, one, at)
    axes.set(xlim=(0, len(targets)), ylim=(len(sources), 0), xlabel="tested on")
    axes.set_xticks(
        [number + 0.5 for number in range(len(targets))],
        [words.short(target, 16) for target in targets],
        rotation=30, ha="right", rotation_mode="anchor",
    )  # fmt: skip
    canvas.bare(axes)


def _draw_set(axes: Axes, one: SetTransferred, at: tuple[float, float]) -> None:
    found = one.sufficiency
    if found is None:
        cells.draw_cell(axes, at, palette.PANEL, tip=one.refused)
        return
    tip = (
        f"{one.kind}, {one.source} on {one.target}, {one.size} nodes: "
        f"{words.number(found.mean)} ({words.spread(found)})"
    )
    cells.draw_cell(axes, at, palette.diverging(found.mean), tip=tip)
    cells.write_interval(axes, at, found, is_bold=one.kind == "own")
