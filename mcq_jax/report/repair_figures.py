"""Figures of self-repair: compensation against direct effect, and by layer."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.report import canvas, cells, palette, point_labels, scales, words
from mcq_jax.results import RepairFound, RepairLine, RunResults, SelfRepairFindings

_COLOURS = {
    "selected node": palette.BLUE,
    "attention layer": palette.ORANGE,
    "random node": palette.GREY,
}
_MARKERS = {"selected node": "o", "attention layer": "s", "random node": "."}
LABELLED = 6  # names in a panel
SHOWN = 18  # rows of the map
_TITLES = {"resample": "another prompt's", "mean": "their mean", "zero": "zeros"}


@canvas.styled
def against_direct(run: RunResults) -> Figure:
    """What later nodes make up for, against what was ablated, by ablation."""
    found = _found(run)
    ablations = list(dict.fromkeys(repair.ablation for repair in found.repairs))
    figure = canvas.new_figure(max(4.2, 3.3 * len(ablations)), 3.9)
    panels = figure.subplots(1, len(ablations), squeeze=False)[0]
    for axes, ablation in zip(panels, ablations, strict=True):
        mine = [r for r in found.repairs if r.ablation == ablation]
        canvas.zero_lines(axes)
        axes.axline(
            (0, 0), slope=1, color=palette.MUTED, linewidth=1, linestyle=(0, (4, 3))
        )
        for repair in sorted(mine, key=lambda r: r.kind != "random node"):
            _draw_point(axes, repair)
        axes.margins(0.12)
        axes.autoscale_view()
        for line in found.lines:
            if line.ablation == ablation:
                _draw_slope(axes, line)
        axes.set_title(_title(ablation), fontsize=9)
        axes.set_xlabel("direct effect, logits")
    panels[0].set_ylabel("made up for, logits")
    kinds = dict.fromkeys(repair.kind for repair in found.repairs)
    for kind in kinds:
        panels[0].plot([], [], _marker(kind), color=_colour(kind), label=words.short(
            kind, 24), linestyle="none")  # fmt: skip
    figure.legend(loc="outside lower center", ncols=len(kinds))
    for axes, ablation in zip(panels, ablations, strict=True):
        _label(axes, [r for r in found.repairs if r.ablation == ablation])
    return figure


@canvas.styled
def by_layer(run: RunResults) -> Figure:
    """Which layers make up for which node, under two ablations side by side."""
    found = _found(run)
    ablations = [a for a in ("resample", "zero") if _of(found, a)]
    ablations = ablations or list(dict.fromkeys(r.ablation for r in found.repairs))[:1]
    rows = rows_shown(found)
    layers = max(len(repair.attention) for repair in found.repairs)
    height = 1.5 + 0.24 * len(rows)
    figure = canvas.new_figure(
        min(11.0, 2.4 + 0.3 * layers * len(ablations)) + 0.8, height
    )
    grid = figure.subplots(
        2, len(ablations), squeeze=False, height_ratios=(height - 0.9, 0.1)
    )
    values = [value for r in found.repairs for value in _layers(r) if r.name in rows]
    end = scales.largest(values)
    for axes, ablation in zip(grid[0], ablations, strict=True):
        by_name = {r.name: r for r in _of(found, ablation)}
        for row, name in enumerate(rows):
            if name in by_name:
                _draw_row(axes, by_name[name], row, end)
        axes.set(xlim=(-0.1, layers + 0.1), ylim=(len(rows) + 0.1, -0.1))
        step = 1 if layers <= 12 else 4
        shown = range(0, layers, step)
        axes.set_xticks([at + 0.5 for at in shown], [str(at) for at in shown])
        axes.set_yticks([])
        axes.set_xlabel("layer that makes up for it")
        axes.set_title(_title(ablation), fontsize=9)
        canvas.bare(axes)
    names = [words.short(name, 16) for name in rows]
    grid[0][0].set_yticks([row + 0.5 for row in range(len(rows))], names)
    for axes in grid[1][1:]:
        axes.set_axis_off()
    cells.draw_scale(grid[1][0], end, "made up for, logits", place=scales.signed_root)
    return figure


def rows_shown(found: SelfRepairFindings) -> list[str]:
    """Returns the names in the map: nodes and layers whose ablation costs most."""
    sizes: dict[str, float] = {}
    for repair in found.repairs:
        if repair.kind != "random node":
            size = abs(repair.direct.mean)
            sizes[repair.name] = max(size, sizes.get(repair.name, 0.0))
    if not sizes:  # random ones alone
        sizes = {repair.name: 0.0 for repair in found.repairs}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:SHOWN]
    return [name for name in sizes if name in largest]


def _found(run: RunResults) -> SelfRepairFindings:
    found = run.get(SelfRepairFindings)
    assert found is not None
    return found


def _of(found: SelfRepairFindings, ablation: str) -> list[RepairFound]:
    return [repair for repair in found.repairs if repair.ablation == ablation]


def _layers(repair: RepairFound) -> list[float]:
    both = zip(repair.attention, repair.feedforward, strict=True)
    return [attention + feedforward for attention, feedforward in both]


def _title(ablation: str) -> str:
    return f"ablated by {_TITLES.get(ablation, words.short(ablation, 20))}"


def _colour(kind: str) -> str:
    return _COLOURS.get(kind, palette.INK)


def _marker(kind: str) -> str:
    return _MARKERS.get(kind, "o")


def _draw_point(axes: Axes, repair: RepairFound) -> None:
    across, up, colour = repair.direct, repair.compensation, _colour(repair.kind)
    bars: dict = {"color": colour, "linewidth": 0.9, "alpha": 0.45, "zorder": 1}
    axes.plot([across.low, across.high], [up.mean] * 2, **bars)
    axes.plot([across.mean] * 2, [up.low, up.high], **bars)
    mark = axes.plot(
        across.mean, up.mean, _marker(repair.kind), color=colour, markersize=4.5
    )[0]
    canvas.tip(
        mark,
        f"{repair.name} ({repair.kind}): direct {words.signed(across.mean, 3)}, made "
        f"up for {words.signed(up.mean, 3)} ({words.spread(up, 3)}), lost in the end "
        f"{words.signed(repair.total.mean, 3)}",
    )


def _draw_slope(axes: Axes, line: RepairLine) -> None:
    if line.kind == "attention layer" and line.slope is not None:
        axes.axline(
            (0, line.intercept or 0.0), slope=line.slope.mean,
            color=_colour(line.kind), linewidth=1.1, alpha=0.6,
        )  # fmt: skip


def _label(axes: Axes, repairs: list[RepairFound]) -> None:
    named = sorted(repairs, key=lambda r: -abs(r.compensation.mean))[:LABELLED]
    point_labels.label_points(
        axes,
        [words.short(repair.name, 14) for repair in named],
        [(repair.direct.mean, repair.compensation.mean) for repair in named],
    )


def _draw_row(axes: Axes, repair: RepairFound, row: int, end: float) -> None:
    pairs = zip(repair.attention, repair.feedforward, strict=True)
    for layer, (attention, feedforward) in enumerate(pairs):
        value = attention + feedforward
        fraction = scales.signed_root(value, end)
        cells.draw_cell(
            axes, (float(layer), float(row)), palette.diverging(fraction),
            size=(1, 1),
            tip=f"{repair.name} ablated: layer {layer} makes up for "
            f"{words.signed(value, 3)} (attention {words.signed(attention, 3)}, "
            f"feed-forward {words.signed(feedforward, 3)})",
        )  # fmt: skip
