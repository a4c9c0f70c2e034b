"""The gallery of heads: layers × roles, each head a tile of gold × attended letter."""

import collections
import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.report import canvas, cells, palette, words
from mcq_jax.results import HeadFound, RunResults

DEEPEST = 4  # tiles of one role in one layer; the rest is counted
TILE = 0.66  # of the unit square that a head gets; its name stands below
MARGIN = 0.17  # left of a tile

_Places = dict[tuple[str, int], list[HeadFound]]


@canvas.styled
def gallery(run: RunResults) -> Figure:
    """Where each classified head looks from the answer position, by gold letter."""
    shown = classified(run)
    roles, layers = roles_of(shown), sorted({head.layer for head in shown})
    places: _Places = collections.defaultdict(list)
    for head in sorted(shown, key=lambda head: -head.label_mass):
        places[head.head_class, head.layer].append(head)
    depths = {role: _depth(places, role, layers) for role in roles}
    inch = min(0.88, 9.2 / max(len(layers), 1))
    height = 0.5 + inch * sum(depths.values())
    figure = canvas.new_figure(1.6 + inch * len(layers), height)
    axes = figure.subplots()
    top = 0.0
    for role in roles:
        _draw_role(axes, role, top, depths[role], len(layers))
        for column, layer in enumerate(layers):
            _draw_stack(axes, places[role, layer], (column, top), run, inch)
        top += depths[role]
    axes.set(xlim=(-0.02, len(layers)), ylim=(top, 0), aspect="equal")
    middles = [column + 0.5 for column in range(len(layers))]
    axes.set_xticks(middles, [f"layer {layer}" for layer in layers], fontsize=8)
    if inch < 0.7:
        axes.set_xticks(middles, [str(layer) for layer in layers], fontsize=8)
        axes.set_xlabel("layer")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_yticks([])
    canvas.bare(axes)
    return figure


def classified(run: RunResults) -> tuple[HeadFound, ...]:
    """Returns the heads that a rule gave a role."""
    return tuple(head for head in run.heads if head.head_class != "other")


def roles_of(heads: tuple[HeadFound, ...]) -> list[str]:
    """Returns the roles that occur, in the order in which they are explained."""
    present = {head.head_class for head in heads}
    known = [role for role in words.CLASS_MEANINGS if role in present]
    return known + sorted(present - {*known})


def _depth(places: _Places, role: str, layers: list[int]) -> int:
    return min(max(len(places[role, layer]) for layer in layers), DEEPEST)


def _draw_role(axes: Axes, role: str, top: float, depth: int, columns: int) -> None:
    axes.plot([0, columns], [top, top], color=palette.RULE, linewidth=0.8)
    axes.plot(
        [0, 0], [top + 0.1, top + depth - 0.1], linewidth=3.5, color=_colour(role)
    )
    axes.annotate(
        words.short(words.readable(role), 24).replace(" ", "\n"),
        (0, top + depth / 2),
        (-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        annotation_clip=False,
    )


def _colour(role: str) -> str:
    return palette.class_colour(role)


def _draw_stack(
    axes: Axes,
    heads: list[HeadFound],
    corner: tuple[float, float],
    run: RunResults,
    inch: float,
) -> None:
    for row, head in enumerate(heads[:DEEPEST]):
        place = (corner[0] + MARGIN, corner[1] + row + 0.08)
        _draw_tile(axes, head, place, run.about.labels)
        hidden = len(heads) - DEEPEST if row == DEEPEST - 1 else 0
        more = f" +{hidden}" if hidden > 0 else ""
        axes.text(
            place[0] + TILE / 2,
            place[1] + TILE + 0.04,
            words.short(head.name) + more,
            ha="center",
            va="top",
            fontsize=min(8.0, max(5.0, 11 * inch)),
        )


def _draw_tile(
    axes: Axes, head: HeadFound, place: tuple[float, float], labels: tuple[str, ...]
) -> None:
    size = TILE / max(len(head.gold_by_attended), 1)
    for row, shares in enumerate(head.gold_by_attended):
        for column, share in enumerate(shares):
            if math.isnan(share):
                continue
            cells.draw_cell(
                axes,
                (place[0] + column * size, place[1] + row * size),
                palette.SHARES[palette.step_of(share)],
                size=(size, size),
                tip=f"{head.name}: gold {labels[row]}, {words.percent(share)} of its "
                f"label attention on {labels[column]}",
            )
