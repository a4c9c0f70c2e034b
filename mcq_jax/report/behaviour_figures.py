"""Figures of what the model does: gold letter × letter, the letters, and the gate."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Gate
from mcq_jax.report import canvas, cells, palette, scales, words
from mcq_jax.results import BehaviourFindings, RunResults


@canvas.styled
def gold_by_letter(run: RunResults) -> Figure:
    """M: mean centred logit of each letter, by which letter is right."""
    matrix, labels = run.need(BehaviourFindings).gold_by_letter, run.about.labels
    figure = canvas.new_figure(4.6, 4.6)
    axes, scale = figure.subplots(2, 1, height_ratios=(22, 1))
    end = scales.largest([value for row in matrix for value in row])
    size = 9.5 if len(labels) <= 6 else 7
    for row, values in enumerate(matrix):
        for column, value in enumerate(values):
            if words.number(value) == words.MISSING:
                continue
            tip = f"gold {labels[row]}, letter {labels[column]}: {words.signed(value)}"
            colour = palette.diverging(value / end)
            cells.draw_cell(axes, (column, row), colour, tip=tip)
            text = words.signed(value, 2 if len(labels) <= 6 else 1)
            place = (float(column), float(row))
            cells.write_in(axes, place, text, fraction=value / end, size=size)
    _letter_axes(axes, labels)
    cells.draw_scale(scale, end, "centred logit", place=scales.linear)
    return figure


def _letter_axes(axes: Axes, labels: tuple[str, ...]) -> None:
    middles = [index + 0.5 for index in range(len(labels))]
    axes.set(xlim=(0, len(labels)), ylim=(len(labels), 0), aspect="equal")
    axes.set_xticks(middles, [words.short(label) for label in labels])
    axes.set_yticks(middles, [words.short(label) for label in labels])
    axes.set(xlabel="letter", ylabel="gold letter")
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    canvas.bare(axes)


@canvas.styled
def letters(run: RunResults) -> Figure:
    """Accuracy by gold letter, how often each letter is chosen, and its prior."""
    found, labels = run.need(BehaviourFindings), run.about.labels
    figure = canvas.new_figure(5.6, 4.6)
    right, chosen, prior = figure.subplots(3, 1, sharex=True)
    chance = 1 / len(labels)
    _bars(right, labels, found.accuracy_by_gold, palette.BLUE)
    right.set(title="Accuracy when this letter is right", ylim=(0, 1.18))
    _bars(chosen, labels, found.share_by_letter, palette.GREEN)
    chosen.set_title("How often this letter is chosen")
    chosen.set_ylim(0, 1.25 * max(chance, scales.largest(found.share_by_letter)))
    for axes in (right, chosen):
        axes.axhline(
            chance, color=palette.MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0
        )
    _bars(prior, labels, found.letter_prior, palette.ORANGE, signed=True)
    end = scales.largest(found.letter_prior)
    prior.set(
        title="Letter prior: mean centred logit, logits", ylim=(-1.5 * end, 1.5 * end)
    )
    prior.axhline(0, color=palette.PALE, linewidth=0.8)
    return figure


def _bars(
    axes: Axes,
    labels: tuple[str, ...],
    values: tuple[float, ...],
    colour: str,
    *,
    signed: bool = False,
) -> None:
    write = words.signed if signed else words.number
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        text = write(value)
        height = 0.0 if text == words.MISSING else value
        bar = axes.bar(place, height, width=0.62, color=colour)[0]
        canvas.tip(bar, f"{label}: {text}")
        va = "top" if height < 0 else "bottom"
        axes.annotate(
            text,
            (place, height),
            (0, -2 if height < 0 else 2),
            textcoords="offset points",
            ha="center",
            va=va,
            fontsize=8,
            bbox={"facecolor": palette.PAPER, "edgecolor": "none", "pad": 0.6},
        )
    axes.set_xticks(range(len(labels)), [words.short(label) for label in labels])
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])


@canvas.styled
def gate(run: RunResults) -> Figure:
    """D, the selectivity for the gold letter, against its null."""
    found = run.need(BehaviourFindings).gate
    figure = canvas.new_figure(7.0, 1.45)
    axes = figure.subplots()
    ends = [0.0, found.selectivity, found.null_low, found.null_high]
    ends = [end for end in ends if words.number(end) != words.MISSING]
    margin = 0.12 * ((max(ends) - min(ends)) or 1.0)
    null = axes.axvspan(found.null_low, found.null_high, color=palette.PALE, ymax=0.62)
    null.set_alpha(0.6)
    canvas.tip(
        null, f"null {words.number(found.null_low)} to {words.number(found.null_high)}"
    )
    axes.axvline(0, ymax=0.62, color=palette.GREY, linewidth=0.8)
    colour = palette.BLUE if found.open else palette.MUTED
    point = axes.plot(found.selectivity, 0.31, "D", color=colour, markersize=9)[0]
    canvas.tip(point, _named_d(found))
    middle = (found.null_low + found.null_high) / 2
    _above(axes, middle, "95 % of D if gold did not matter", palette.MUTED, 1.06)
    _above(axes, found.selectivity, _named_d(found), palette.INK, 0.7)
    axes.set(ylim=(0, 1.3), yticks=[], xlim=(min(ends) - margin, max(ends) + margin))
    axes.set_xlabel("D, logits")
    axes.spines["left"].set_visible(False)
    return figure


def _named_d(found: Gate) -> str:
    digits = words.digits_for(found.selectivity, found.null_low, found.null_high)
    return f"D = {words.number(found.selectivity, digits)}"


def _above(axes: Axes, place: float, text: str, colour: str, height: float) -> None:
    axes.text(place, height, text, color=colour, ha="center", va="center", fontsize=9)
