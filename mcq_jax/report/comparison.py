"""`write_comparison`: the behaviour of several runs on one page, paired by question.

What models do when they are asked in different ways, before anything is said of how.
The first run is what the others are held against.
"""

import pathlib
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.metrics import Gate, Interval
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.plain_page import write_plain_page
from mcq_jax.report.section import Plate, Titled
from mcq_jax.report.table import Cell, Row, Table, effect_cell
from mcq_jax.results import ClozeFindings, MutationGridFindings, RunResults
from mcq_jax.results.comparison import (
    Answered,
    accuracy_difference,
    consistent_difference,
)


def write_comparison(runs: Sequence[Answered], file: pathlib.Path) -> pathlib.Path:
    """Writes one self-contained page about two runs or more; returns its path."""
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} runs to compare; give two or more.")
    figure = accuracy(runs)
    plate = Plate(
        name="accuracy_by_run",
        title="Accuracy by run",
        caption="Full: the highest letter is the right one; open: questions right in "
        "every order. Ticks: chance. Bars: 95 % intervals over questions.",
        sample="n as in the table",
        draw=lambda _: figure,
    )
    title = "Behaviour of " + words.count(len(runs), "run")
    return write_plain_page(
        file, title=title, eyebrow="comparison", figures=((plate, figure),),
        tables=tables(runs),
    )  # fmt: skip


def tables(runs: Sequence[Answered]) -> tuple[Titled, ...]:
    """What was asked and answered, differences from the first, and mutations."""
    found = [
        Titled(table=_asked(runs), title="What was asked of which model"),
        Titled(
            table=_answers(runs),
            title="Answers by letter",
            note="Less the prior: after subtracting each letter's mean logit. In every "
            "order: questions right in all rotations. By content: without options, the "
            "likeliest text by its log-probability per token. D: how much a letter "
            "gains by being right, its null below. Letters: how often each is chosen; "
            "the prior is the most liked letter's mean logit above the others.",
        ),
        Titled(
            table=_differences(runs),
            title=f"Less {_names(runs)[0]}",
            note="Paired by question, over the questions that both asked: what makes "
            "one hard for both cancels. Dash: none in common.",
        ),
    ]
    mutated = _mutations(runs)
    if mutated.rows:
        found.append(
            Titled(
                table=mutated,
                title="The same questions asked otherwise",
                note="On the questions that the mutation grid read. Without the "
                "question (question removed) accuracy is what options alone give away.",
            )
        )
    return tuple(found)


def _names(runs: Sequence[Answered]) -> list[str]:
    """Titles where each run has its own, else the names of folders, else their paths.

    One card asked of several models gives all of them its title.
    """
    paths = [str(run.path) for run in runs]
    titles = [run.run.about.title for run in runs]
    for names in (titles, [pathlib.PurePath(path).name for path in paths]):
        if len(set(names)) == len(names):
            return names
    return paths


def _asked(runs: Sequence[Answered]) -> Table:
    return Table(
        columns=("run", "model", "questions", "template", "labels", "shots", "n"),
        rows=tuple(map(_asked_row, _names(runs), runs)),
    )


def _asked_row(name: str, run: Answered) -> Row:
    about = run.run.about
    said = (
        about.model, about.questions_from, about.template, " ".join(about.labels),
        str(about.shots), str(about.questions),
    )  # fmt: skip
    return Row(name=name, cells=tuple(Cell(text=text) for text in said))


def _answers(runs: Sequence[Answered]) -> Table:
    return Table(
        columns=(
            "run", "accuracy", "less the prior", "in every order", "by content", "D",
            "letters", "prior",
        ),
        rows=tuple(map(_answers_row, _names(runs), runs)),
    )  # fmt: skip


def _answers_row(name: str, run: Answered) -> Row:
    about, found = run.run.about, run.behaviour
    shares = zip(about.labels, found.share_by_letter, strict=True)
    liked = max(range(len(about.labels)), key=lambda i: found.letter_prior[i])
    return Row(
        name=name,
        cells=(
            _share(found.accuracy),
            _share(found.prior_corrected_accuracy),
            _share(found.consistent_accuracy),
            _by_content(run),
            _selectivity(found.gate),
            Cell(text=" ".join(f"{a} {words.percent(b)}" for a, b in shares)),
            Cell(
                text=f"{about.labels[liked]} {words.signed(found.letter_prior[liked])}"
            ),
        ),
    )


def _by_content(run: Answered) -> Cell:
    found = run.run.get(ClozeFindings)
    return Cell(text=words.MISSING) if found is None else _share(found.by_content)


def _differences(runs: Sequence[Answered]) -> Table:
    rows = []
    for name, run in list(zip(_names(runs), runs, strict=True))[1:]:
        both = (
            accuracy_difference(run, runs[0]),
            consistent_difference(run, runs[0]),
        )
        shared = next((found.questions for found in both if found is not None), 0)
        cells = (Cell(text=str(shared)), *(effect_cell(found) for found in both))
        rows.append(Row(name=name, cells=cells))
    return Table(
        columns=("run", "shared questions", "accuracy", "in every order"),
        rows=tuple(rows),
    )


def _mutations(runs: Sequence[Answered]) -> Table:
    rows = []
    for name, run in zip(_names(runs), runs, strict=True):
        found = run.run.get(MutationGridFindings)
        for one in () if found is None else found.rows:
            intact = [cell for cell in one.cells if cell.variant == "intact"]
            if intact:
                rows.append(
                    Row(
                        name=name,
                        cells=(
                            Cell(text=one.prompts),
                            Cell(text=str(one.questions)),
                            _share(intact[0].accuracy),
                            _selectivity(one.by_place),
                            _selectivity(one.by_letter),
                        ),
                        note=one.changes,
                    )
                )
    return Table(
        columns=(
            "run", "prompts", "n", "accuracy", "D by place", "D by letter",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _share(found: Interval) -> Cell:
    return Cell(
        text=words.percent(found.mean), below=words.spread(found, 0, as_percent=True)
    )


def _selectivity(gate: Gate | None) -> Cell:
    if gate is None:
        return Cell(text=words.MISSING)
    null = f"null {words.number(gate.null_low)} to {words.number(gate.null_high)}"
    return Cell(text=words.number(gate.selectivity), below=null)


@canvas.styled
def accuracy(runs: Sequence[Answered]) -> Figure:
    """Both accuracies of every run, the first on top."""
    figure = canvas.new_figure(6.4, 0.9 + 0.5 * len(runs))
    axes = figure.subplots()
    for number, run in enumerate(runs):
        chance = 1 / len(run.run.about.labels)
        axes.plot([chance] * 2, [number - 0.3, number + 0.3], color=palette.MUTED)
        found = run.behaviour
        _draw(axes, found.accuracy, number - 0.1, palette.BLUE, run.run)
        _draw(axes, found.consistent_accuracy, number + 0.1, palette.PAPER, run.run)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(runs) - 0.5, -0.5), xlabel="accuracy")
    axes.set_yticks(range(len(runs)), [words.short(name, 40) for name in _names(runs)])
    return figure


def _draw(
    axes: Axes, found: Interval, height: float, face: str, run: RunResults
) -> None:
    axes.plot([found.low, found.high], [height] * 2, color=palette.BLUE, linewidth=1.4)
    mark = axes.plot(
        found.mean, height, "o", color=palette.BLUE, markerfacecolor=face, markersize=6
    )[0]
    spread = words.spread(found, 0, as_percent=True)
    canvas.tip(mark, f"{run.about.title}: {words.percent(found.mean)} ({spread})")
