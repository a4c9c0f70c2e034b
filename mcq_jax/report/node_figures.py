"""Figures of nodes: the map, direct against total effect, and kinds of source."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, cells, palette, picks, point_labels, scales, words
from mcq_jax.results import NodeFound, RunResults

LABELLED = 16  # names in a scatter
UNSURE = 0.42  # side of a cell whose interval includes 0
NEAR = 0.1  # distance from the origin, of the axes' largest, that needs no name
SMALL_MODEL = 12  # layers up to which cells are large enough for numbers
DOTTED = 14  # nodes in the panel of three kinds


@canvas.styled
def node_map(run: RunResults) -> Figure:
    """The direct effect of every head and feed-forward block, layer by layer."""
    asked, kind = run.about, picks.main_kind(run)
    is_small = asked.layers <= SMALL_MODEL
    width = 1.1 + asked.layers * (0.56 if is_small else min(0.36, 9.8 / asked.layers))
    height = 1.5 + (asked.heads + 1.3) * (0.32 if is_small else 0.27)
    figure = canvas.new_figure(max(width, 4.5), height)
    axes, scale = figure.subplots(2, 1, height_ratios=(height - 1.2, 0.12))
    end = scales.largest([picks.direct(node, kind) for node in run.nodes])
    for node in run.nodes:
        _draw_node(axes, node, asked.heads, kind, end, is_small)
    _map_axes(axes, asked.layers, asked.heads)
    cells.draw_scale(
        scale, end, f"direct effect, logits ({kind} sources)", place=scales.signed_root
    )
    scale.set_anchor("W")
    scale.set_box_aspect(0.05)
    return figure


def _draw_node(
    axes: Axes, node: NodeFound, heads: int, kind: str, end: float, is_small: bool
) -> None:
    effect = picks.direct(node, kind)
    if math.isnan(effect):
        return
    place = (float(node.layer), float(node.head if node.head >= 0 else heads + 0.3))
    fraction = scales.signed_root(effect, end)
    sure = node.direct[kind].excludes_zero()
    size = 1.0 if sure else UNSURE
    corner = (place[0] + (1 - size) / 2, place[1] + (1 - size) / 2)
    colour = palette.diverging(fraction)
    cells.draw_cell(axes, corner, colour, size=(size, size), tip=_tip(node, kind))
    if sure and is_small and abs(effect) >= max(0.005, 0.02 * end):
        text = words.signed(effect)
        cells.write_in(axes, place, text, fraction=fraction, size=7.5)
    if node.selected:
        axes.add_patch(
            Rectangle(place, 1, 1, fill=False, edgecolor=palette.INK, linewidth=1.5)
        )


def _tip(node: NodeFound, kind: str) -> str:
    estimate = node.direct.get(kind)
    mean = words.MISSING if estimate is None else words.signed(estimate.mean, 3)
    parts = [
        f"{node.name}: direct {mean} ({words.spread(estimate, 3)})",
        f"total {words.signed(picks.total(node, kind), 3)}",
        words.readable(picks.role(node)),
        "selected" if node.selected else "",
    ]
    return " · ".join(part for part in parts if part and part != words.MISSING)


def _map_axes(axes: Axes, layers: int, heads: int) -> None:
    axes.set(xlim=(-0.1, layers + 0.1), ylim=(heads + 1.4, -0.1))
    step = 1 if layers <= 40 else 4
    shown = range(0, layers, step)
    axes.set_xticks([layer + 0.5 for layer in shown], [str(layer) for layer in shown])
    step = 1 if heads <= 20 else 4
    rows = [*range(0, heads, step)]
    places = [row + 0.5 for row in rows] + [heads + 0.8]
    axes.set_yticks(places, [*(f"H{row}" for row in rows), "MLP"])
    axes.set_xlabel("layer")
    canvas.bare(axes)


@canvas.styled
def direct_and_total(run: RunResults) -> Figure:
    """Direct effect against total effect; off the diagonal lies what others do."""
    kind = picks.main_kind(run)
    is_small = run.about.layers <= SMALL_MODEL
    # Beside the map of a small model, below that of a large one.
    figure = canvas.new_figure(5.0 if is_small else 7.6, 5.1)
    axes = figure.subplots()
    canvas.zero_lines(axes)
    axes.axline(
        (0, 0), slope=1, color=palette.MUTED, linewidth=1, linestyle=(0, (4, 3))
    )
    nodes = [node for node in run.nodes if kind in node.direct]
    nodes = [node for node in nodes if kind in node.total]
    for node in sorted(nodes, key=lambda node: node.selected):
        across, up = node.direct[kind], node.total[kind]
        _draw_point(axes, node, across, up, _tip(node, kind))
    axes.set(xlabel="direct effect, logits", ylabel="total effect, logits")
    axes.grid(True)
    axes.margins(0.08)
    axes.autoscale_view()
    _class_legend(figure, nodes)
    _label_outliers(axes, nodes, kind, picks.total)
    return figure


def _draw_point(
    axes: Axes, node: NodeFound, across: Interval, up: Interval, tip: str
) -> None:
    colour = palette.class_colour(picks.role(node))
    if node.selected:
        bars: dict = {"color": colour, "linewidth": 0.9, "alpha": 0.45, "zorder": 1}
        axes.plot([across.low, across.high], [up.mean] * 2, **bars)
        axes.plot([across.mean] * 2, [up.low, up.high], **bars)
    point = axes.plot(
        across.mean,
        up.mean,
        palette.class_marker(picks.role(node)),
        color=colour,
        markersize=7.5 if node.selected else 5.5,
        markeredgecolor=palette.INK if node.selected else "none",
        markeredgewidth=0.9,
    )[0]
    canvas.tip(point, tip)


def _class_legend(figure: Figure, nodes: list[NodeFound]) -> None:
    present = {picks.role(node) for node in nodes}
    known = [name for name in words.CLASS_MEANINGS if name in present]
    axes = figure.axes[0]
    for name in [*known, *sorted(present - {*known})]:
        axes.plot(
            [],
            [],
            palette.class_marker(name),
            color=palette.class_colour(name),
            label=words.short(words.readable(name), 24),
        )
    rim: dict = {"markeredgecolor": palette.INK, "markerfacecolor": "none"}
    axes.plot([], [], "o", label="selected", **rim)
    figure.legend(
        loc="outside lower center", ncols=4, handletextpad=0.2, columnspacing=1
    )


def _label_outliers(axes: Axes, nodes: list[NodeFound], kind: str, other) -> None:
    """Names the points farthest from the origin, in units of each axis."""
    ends = [
        scales.largest([reading(node, kind) for node in nodes])
        for reading in (picks.direct, other)
    ]

    def distance(node: NodeFound) -> float:
        return math.hypot(
            picks.direct(node, kind) / ends[0], other(node, kind) / ends[1]
        )

    far = sorted(nodes, key=distance, reverse=True)[:LABELLED]
    far = [node for node in far if distance(node) > NEAR]
    points = [(picks.direct(node, kind), other(node, kind)) for node in far]
    point_labels.label_points(axes, [words.short(node.name) for node in far], points)


@canvas.styled
def three_kinds(run: RunResults) -> Figure:
    """Rotation against placebo sources, and all kinds for the foremost nodes."""
    figure = canvas.new_figure(10.8, 4.8)
    scatter, dots = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_kind_scatter(scatter, run)
    _draw_kind_dots(dots, run)
    return figure


def _placebo(node: NodeFound, kind: str) -> float:
    return picks.direct(node, "placebo")


def _draw_kind_scatter(axes: Axes, run: RunResults) -> None:
    canvas.zero_lines(axes)
    nodes = [node for node in run.nodes if {"rotation", "placebo"} <= {*node.direct}]
    for node in sorted(nodes, key=lambda node: node.selected):
        across, up = node.direct["rotation"], node.direct["placebo"]
        tip = f"{node.name}: rotation {words.signed(across.mean, 3)}, placebo "
        _draw_point(axes, node, across, up, tip + words.signed(up.mean, 3))
    axes.set(
        title="Pointer nodes lie along the bottom, content nodes up the side",
        xlabel="direct effect, rotation sources",
        ylabel="direct effect, placebo sources",
    )
    axes.grid(True)
    axes.margins(0.09)
    axes.autoscale_view()
    ends = axes.get_xlim(), axes.get_ylim()
    # Noise in one kind must not be blown up to look like an effect.
    least = 0.35 * (ends[0][1] - ends[0][0])
    if ends[1][1] - ends[1][0] < least:
        middle = sum(ends[1]) / 2
        axes.set_ylim(middle - least / 2, middle + least / 2)
    _label_outliers(axes, nodes, "rotation", _placebo)


def _draw_kind_dots(axes: Axes, run: RunResults) -> None:
    nodes = picks.top_nodes(run, DOTTED)
    kinds = [kind for kind in picks.source_kinds(run)]
    axes.axvline(0, color=palette.PALE, linewidth=0.8)
    for row, node in enumerate(nodes):
        axes.axhline(row, color=palette.RULE, linewidth=0.5, zorder=0)
        for index, kind in enumerate(kinds):
            shift = 0.22 * (index - (len(kinds) - 1) / 2)
            _draw_dot(axes, node, kind, row + shift, label=kind if row == 0 else None)
    axes.set_yticks(range(len(nodes)), [words.short(node.name) for node in nodes])
    axes.set_ylim(len(nodes) - 0.5, -0.5)
    axes.set(title=f"The {len(nodes)} largest, by kind of source")
    axes.set_xlabel("direct effect, logits")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower right", handletextpad=0.2)


def _draw_dot(
    axes: Axes, node: NodeFound, kind: str, height: float, label: str | None
) -> None:
    estimate = node.direct.get(kind)
    if estimate is None:
        return
    colour = palette.SOURCE_COLOURS.get(kind, palette.GREY)
    axes.plot([estimate.low, estimate.high], [height] * 2, color=colour, linewidth=1.3)
    marker = palette.SOURCE_MARKERS.get(kind, "D")
    dot = axes.plot(estimate.mean, height, marker, color=colour, markersize=4.5)[0]
    if label:
        dot.set_label(label)
    tip = f"{node.name}, {kind}: {words.signed(estimate.mean, 3)}"
    canvas.tip(dot, f"{tip} ({words.spread(estimate, 3)})")
