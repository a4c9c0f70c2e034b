"""The figure of a run itself: where its time went."""

from matplotlib.figure import Figure

from mcq_jax.report import canvas, palette, words
from mcq_jax.results import RunResults


@canvas.styled
def timing(run: RunResults) -> Figure:
    """Seconds and share of each stage, in the order in which they ran."""
    seconds = run.seconds
    whole = sum(seconds.values()) or 1.0
    figure = canvas.new_figure(7.6, 0.35 + 0.29 * len(seconds))
    axes = figure.subplots()
    for row, (stage, spent) in enumerate(seconds.items()):
        text = f"{words.duration(spent)} · {words.percent(spent / whole)}"
        bar = axes.barh(row, spent, height=0.62, color=palette.BLUE)[0]
        canvas.tip(bar, f"{words.readable(stage)}: {text}")
        axes.annotate(
            text,
            (spent, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(seconds)), [_written(stage) for stage in seconds])
    axes.tick_params(axis="y", labelcolor=palette.INK)
    axes.set(ylim=(len(seconds) - 0.5, -0.5), xticks=[])
    axes.set_xlim(0, 1.3 * (max(seconds.values(), default=1.0) or 1.0))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    return figure


def _written(stage: str) -> str:
    return words.short(words.readable(stage), 32)
