"""Names beside the points of a scatter, moved until they do not cover each other."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from mcq_jax.report import palette

SIZE = 8.0  # points
_CHARACTER = 0.72 * SIZE  # width of one, roughly

# Offsets to try, in points, nearest first.
_OFFSETS = tuple(
    (across * distance, up * distance)
    for distance in (7, 13, 20, 28)
    for across, up in (
        (1, 0.4),
        (1, -0.6),
        (-1, 0.4),
        (-1, -0.6),
        (0.2, 1),
        (0.2, -1),
    )
)

_Box = tuple[float, float, float, float]  # left, bottom, right, top


def label_points(
    axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]
) -> None:
    """Writes each name near its point; a name without a free place is left out.

    Call it when the limits of the axes stand.
    """
    figure = axes.figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout decides where points lie
    to_points = 72 / figure.dpi
    places = [axes.transData.transform(point) * to_points for point in points]
    taken: list[_Box] = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    edges = axes.get_window_extent()
    frame = tuple(edge * to_points for edge in edges.extents)
    for name, point, (x, y) in zip(names, points, places, strict=True):
        for offset in _OFFSETS:
            box = _box(name, x + offset[0], y + offset[1], offset[0] < 0)
            if _is_inside(box, frame) and not any(_overlap(box, old) for old in taken):
                taken.append(box)
                _write(axes, name, point, offset)
                break


def _box(name: str, x: float, y: float, is_left: bool) -> _Box:
    width = _CHARACTER * len(name)
    left = x - width if is_left else x
    return left, y - SIZE / 2, left + width, y + SIZE / 2


def _overlap(one: _Box, other: _Box) -> bool:
    apart_x = one[2] < other[0] or other[2] < one[0]
    return not (apart_x or one[3] < other[1] or other[3] < one[1])


def _is_inside(box: _Box, frame: tuple[float, ...]) -> bool:
    return box[0] >= frame[0] and box[2] <= frame[2] and box[3] <= frame[3]


def _write(
    axes: Axes, name: str, point: tuple[float, float], offset: tuple[float, float]
) -> None:
    is_far = max(map(abs, offset)) > 10
    line = {"arrowstyle": "-", "color": palette.PALE, "linewidth": 0.6, "shrinkB": 3}
    axes.annotate(
        name,
        point,
        offset,
        textcoords="offset points",
        ha="right" if offset[0] < 0 else "left",
        va="center",
        fontsize=SIZE,
        bbox={
            "facecolor": palette.PAPER,
            "edgecolor": "none",
            "pad": 0.3,
            "alpha": 0.8,
        },
        arrowprops=line if is_far else None,
    )
