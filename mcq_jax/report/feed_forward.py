"""Feed-forward blocks of the chosen set: by letter, by neuron, and through heads."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Interval
from mcq_jax.report import canvas, cells, palette, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    BlockFound,
    FeedForwardFindings,
    MediationFound,
    RunResults,
)

_SCOPE = (
    "Mediation is within the chosen set and at the answer position: what blocks do at "
    "earlier tokens is not in it. A block whose effect goes with the heads repeats "
    "what they wrote, or reads what they read."
)
# Tiles in one row of the figure.
_ACROSS = 6


def section(run: RunResults) -> Section | None:
    found = run.get(FeedForwardFindings)
    if found is None:
        return None
    return Section(
        anchor="feed_forward",
        short="Feed-forward",
        title="What the chosen feed-forward blocks do",
        text=_text(found),
        figures=(
            Plate(
                name="feed_forward_letters",
                title="Gold by answer",
                caption="What each chosen block writes to each answer (columns) where "
                "a letter is right (rows), centred over the answers, in logits. A "
                "diagonal: it follows whichever letter is right. A column: a bias.",
                sample=f"n = {words.count(found.held_out_questions, 'question')}",
                draw=tiles,
            ),
        )
        if found.blocks
        else (),
        tables=_tables(found),
        scope=(_SCOPE,),
        experiment="feed_forward",
    )


def _text(found: FeedForwardFindings) -> str:
    if found.refused:
        return f"Not measured: {found.refused}"
    if not found.blocks:
        return "No feed-forward block was chosen."
    kinds: dict[str, int] = {}
    for block in found.blocks:
        kinds[block.kind] = kinds.get(block.kind, 0) + 1
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    sums = " ".join(
        f"{who.capitalize()} as a set: direct effect {words.number(direct.mean)} "
        f"({words.spread(direct)}), total {words.number(found.total[who].mean)} "
        f"({words.spread(found.total[who])}) logits."
        for who, direct in found.direct.items()
        if who in found.total
    )
    return (
        f"{words.count(len(found.blocks), 'block')} of the chosen set, beside "
        f"{words.count(len(found.heads), 'head')}: {said}. {sums}"
    )


def _tables(found: FeedForwardFindings) -> tuple[Titled, ...]:
    made = []
    if found.mediation:
        made.append(
            Titled(
                table=_mediation(found.mediation),
                title="Who acts through whom",
                note="Shares of what these nodes do with the others free. Resampled: "
                "the others write what they write for another order; held: what they "
                "write in the prompt. Random: as many nodes outside the set, of the "
                "same layers where they are heads. A dash: the effect's interval "
                "includes 0.",
            )
        )
    if found.blocks:
        made.append(
            Titled(
                table=_blocks(found.blocks),
                title="Blocks and their neurons",
                note="Best neurons are named on the fitting questions, their share is "
                "of the others; beside it as many random neurons. Most: the least "
                "number whose effects reach 80 %.",
            )
        )
    return tuple(made)


def _mediation(found: tuple[MediationFound, ...]) -> Table:
    return Table(
        columns=(
            "nodes", "others", "direct, others resampled", "total, others resampled",
            "total, others held",
        ),
        rows=tuple(
            Row(
                name=one.who,
                cells=(
                    Cell(text=one.others),
                    _share(one.direct_left),
                    _share(one.total_resampled),
                    _share(one.total_held),
                ),
            )
            for one in found
        ),
    )  # fmt: skip


def _blocks(blocks: tuple[BlockFound, ...]) -> Table:
    return Table(
        columns=(
            "block", "kind", "direct effect", "D", "share of the best neurons",
            "of random ones", "neurons for most",
        ),
        rows=tuple(
            Row(
                name=one.name,
                cells=(
                    Cell(text=one.kind),
                    _share(one.direct),
                    _share(one.selectivity),
                    _share(one.top_share),
                    _share(one.random_share),
                    Cell(text=f"{one.neurons_for_most:,} of {one.neurons:,}"
                         if one.top_neurons else words.MISSING),
                ),
            )
            for one in blocks
        ),
    )  # fmt: skip


def _share(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))


@canvas.styled
def tiles(run: RunResults) -> Figure:
    """One tile per block, gold × answer."""
    found = run.get(FeedForwardFindings)
    assert found is not None
    blocks = found.blocks
    across = min(len(blocks), _ACROSS)
    down = -(-len(blocks) // across)
    figure = canvas.new_figure(0.7 + 1.45 * across, 0.5 + 1.7 * down)
    grid = figure.subplots(down, across, squeeze=False)
    end = max(
        (abs(v) for block in blocks for row in block.gold_by_answer for v in row),
        default=1.0,
    )
    for place, axes in enumerate(grid.flat):
        if place < len(blocks):
            _tile(axes, blocks[place], end or 1.0, run.about.labels)
        else:
            axes.set_visible(False)
    return figure


def _tile(axes: Axes, block: BlockFound, end: float, labels: tuple[str, ...]) -> None:
    size = len(block.gold_by_answer)
    for row, values in enumerate(block.gold_by_answer):
        for column, value in enumerate(values):
            cells.draw_cell(
                axes, (column, row), palette.diverging(value / end),
                tip=f"{block.name}: gold {labels[row]}, {words.signed(value, 3)} "
                f"logits to {labels[column]}",
            )  # fmt: skip
    axes.set(xlim=(0, size), ylim=(size, 0), aspect="equal")
    middles = [i + 0.5 for i in range(size)]
    names = [words.short(label, 6) for label in labels[:size]]
    axes.set_xticks(middles, names)
    axes.set_yticks(middles, names)
    title = f"{words.short(block.name)}\n{words.short(block.kind, 22)}"
    axes.set_title(title, fontsize=7.5, fontweight="normal")
    canvas.bare(axes)
