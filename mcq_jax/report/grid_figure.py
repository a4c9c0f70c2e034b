"""The mutation grid as a figure: numbers of the model, then what each edit recovers."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Gate
from mcq_jax.report import canvas, cells, palette, scales, words
from mcq_jax.results import GridCell, GridRow, MutationGridFindings, RunResults

# Of the model itself, as plain numbers.
_PLAIN = ("accuracy", "D by\nplace", "D by\nletter", "net\nlogit", "rank 0")
# Behind them, recovered; the controls last, set apart.
_EDITS = {
    "resampled": "resampled",
    "unmutated": "unmutated",
    "unmutated, values too": "… values\ntoo",
    "own": "own",
    "place part": "place\npart",
    "letter part": "letter\npart",
    "dealt classes": "dealt\nclasses",
    "random directions": "random\ndirections",
}
_CONTROLS = ("dealt classes", "random directions")
_GAP = 0.25  # cells


@canvas.styled
def grid(run: RunResults) -> Figure:
    """Rows are mutations, the unmutated prompts first."""
    rows = run.need(MutationGridFindings).rows
    edits = [
        name
        for name in _EDITS
        if any(cell.variant == name for row in rows for cell in row.cells)
    ]
    starts = _starts(edits)
    width = starts[-1] + 1
    height = 0.36 * len(rows) + 1.35
    figure = canvas.new_figure(1.6 + 0.66 * width, height)
    axes, scale = figure.subplots(2, 1, height_ratios=(len(rows) + 0.1, 0.5))
    for number, row in enumerate(rows):
        _draw_row(axes, row, number, edits, starts)
    axes.set(xlim=(0, width), ylim=(len(rows), 0))
    names = (*_PLAIN, *(_EDITS[name] for name in edits))
    axes.set_xticks([start + 0.5 for start in starts], names)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_yticks(
        [number + 0.5 for number in range(len(rows))],
        [words.short(words.readable(row.prompts), 26) for row in rows],
    )
    canvas.bare(axes)
    cells.draw_scale(
        scale, 1.0, "recovered between rank 0 and intact", place=scales.linear
    )
    return figure


def _starts(edits: list[str]) -> list[float]:
    """Where columns begin, with gaps before the edits and before the controls."""
    starts = [float(number) for number in range(len(_PLAIN))]
    at = len(_PLAIN) + _GAP
    for number, name in enumerate(edits):
        is_first = name in _CONTROLS and edits[number - 1] not in _CONTROLS
        at += _GAP if is_first and number else 0
        starts.append(at)
        at += 1
    return starts


def _draw_row(
    axes: Axes, row: GridRow, number: int, edits: list[str], starts: list[float]
) -> None:
    by_variant = {cell.variant: cell for cell in row.cells}
    for start, (text, is_bold) in zip(starts, _plain(row, by_variant), strict=False):
        axes.text(
            start + 0.5, number + 0.5, text, ha="center", va="center", fontsize=8,
            color=palette.INK, weight="bold" if is_bold else "normal",
        )  # fmt: skip
    behind = starts[len(_PLAIN) :]
    if not behind:
        return
    shown = [by_variant.get(name) for name in edits]
    if not any(cell and cell.recovered for cell in shown):
        _draw_refusal(axes, row, number, behind)
        return
    for start, cell in zip(behind, shown, strict=True):
        if cell is not None and cell.recovered is not None:
            _draw_recovered(axes, cell, (start, float(number)), row.prompts)


def _plain(row: GridRow, by_variant: dict[str, GridCell]) -> list[tuple[str, bool]]:
    """Numbers of the model itself, and whether each stands out."""
    intact, zero = by_variant.get("intact"), by_variant.get("rank 0")
    if intact is None or zero is None:
        return [(words.MISSING, False)] * len(_PLAIN)
    return [
        (words.percent(intact.accuracy.mean), False),
        _selectivity(row.by_place),
        _selectivity(row.by_letter),
        (words.number(intact.net.mean), False),
        (words.number(zero.net.mean), False),
    ]


def _selectivity(gate: Gate | None) -> tuple[str, bool]:
    if gate is None or not math.isfinite(gate.selectivity):
        return words.MISSING, False
    return words.number(gate.selectivity), gate.open


def _draw_refusal(axes: Axes, row: GridRow, number: int, starts: list[float]) -> None:
    for start in starts:
        cells.draw_cell(axes, (start, float(number)), palette.PANEL)
    axes.text(
        (starts[0] + starts[-1] + 1) / 2, number + 0.5, row.refused, ha="center",
        va="center", fontsize=7.5, color=palette.MUTED,
    )  # fmt: skip


def _draw_recovered(
    axes: Axes, cell: GridCell, place: tuple[float, float], prompts: str
) -> None:
    found = cell.recovered
    assert found is not None
    tip = (
        f"{prompts}, {cell.variant}: {words.number(found.mean)} "
        f"({words.spread(found)}) recovered; net logit {words.number(cell.net.mean)}, "
        f"loss {words.number(cell.loss.mean)}, "
        f"accuracy {words.percent(cell.accuracy.mean)}"
    )
    cells.draw_cell(axes, place, palette.diverging(found.mean), tip=tip)
    cells.write_interval(axes, place, found)
