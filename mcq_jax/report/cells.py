"""Matrices as squares of colour, and the scale that explains the colours."""

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, palette, words

GAP = 0.06  # between two cells, in cells


def draw_cell(
    axes: Axes,
    place: tuple[float, float],
    colour: str,
    *,
    size: tuple[float, float] = (1.0, 1.0),
    tip: str = "",
) -> None:
    """Draws the cell whose upper left corner is at (x, y) of an axes with y down."""
    gap_x, gap_y = GAP * size[0], GAP * size[1]
    cell = Rectangle(
        (place[0] + gap_x / 2, place[1] + gap_y / 2),
        size[0] - gap_x,
        size[1] - gap_y,
        facecolor=colour,
        linewidth=0,
    )
    if tip:
        canvas.tip(cell, tip)
    axes.add_patch(cell)


def write_in(
    axes: Axes, place: tuple[float, float], text: str, *, fraction: float, size: float
) -> None:
    """Writes in the middle of a unit cell, in what can be read upon its shade."""
    axes.text(
        place[0] + 0.5,
        place[1] + 0.5,
        text,
        ha="center",
        va="center",
        fontsize=size,
        color=palette.on_top(fraction),
    )


def write_interval(
    axes: Axes, place: tuple[float, float], found: Interval, *, is_bold: bool = False
) -> None:
    """Writes a mean in a unit cell of its shade, its interval small below it."""
    for text, down, size in (
        (words.number(found.mean), 0.36, 8),
        (words.spread(found), 0.74, 5.2),
    ):
        axes.text(
            place[0] + 0.5, place[1] + down, text, ha="center", va="center",
            fontsize=size, color=palette.on_top(found.mean),
            weight="bold" if is_bold and size == 8 else "normal",
        )  # fmt: skip


def draw_scale(
    axes: Axes, end: float, label: str, *, place: Callable[[float, float], float]
) -> None:
    """Draws the diverging map from -end to end under the scale `place`."""
    steps = palette.STEPS
    for step in range(-steps, steps + 1):
        colour = palette.diverging(step / steps)
        axes.add_patch(
            Rectangle((step - 0.5, 0), 1.02, 1, facecolor=colour, linewidth=0)
        )
    marks = [-end, -end / 4, 0, end / 4, end]
    axes.set_xticks(
        [place(mark, end) * steps for mark in marks],
        [f"{mark:.2g}".replace("-", "−") for mark in marks],
    )
    axes.set(xlim=(-steps - 0.5, steps + 0.5), ylim=(0, 1), yticks=[])
    axes.set_xlabel(label, labelpad=2)
    canvas.bare(axes)
