"""The study's outcomes over the checkpoints of one training, from their run folders.

`python -m mcq_jax.studies.over_checkpoints runs/over/*`: runs of
`configs/over_checkpoints.py`, in the order of training.
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure

from mcq_jax.report import canvas, palette, words
from mcq_jax.report.plain_page import write_plain_page
from mcq_jax.report.section import Plate, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results.comparison import Answered, read_answered
from mcq_jax.studies.measuring import outcomes_of

_NAMES = {
    "accuracy": "accuracy",
    "D": "D, logits",
    "O1": "O1: log2 of nodes for 0.8",
    "O2": "O2: overlap of place and letter",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What to draw, and where to."""

    # Run folders, in the order of training.
    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    out: str = "runs/over/report.html"


def write_page(asked: Asked) -> pathlib.Path:
    """Writes one page on all of them; returns its path."""
    if len(asked.runs) < 2:
        raise ValueError(f"{len(asked.runs)} run folders; give two or more, in order.")
    runs = [read_answered(path) for path in asked.runs]
    found = [outcomes_of(run.run) for run in runs]
    plate = Plate(
        name="over_checkpoints",
        title="Over training",
        caption="In the order given. A gap: not to be had, since the gate is closed, "
        "the set never restores so much, or permuted labels are below 95 % right.",
        sample=f"n = {words.count(len(runs), 'checkpoint')}",
        draw=lambda run: figure,
    )
    figure = over_training(found)
    return write_plain_page(
        pathlib.Path(asked.out),
        title="A circuit over training",
        eyebrow="checkpoints",
        figures=((plate, figure),),
        tables=(Titled(table=_table(runs, found), title="Every checkpoint"),),
    )


@canvas.styled
def over_training(found: Sequence[Mapping[str, Any]]) -> Figure:
    figure = canvas.new_figure(7.2, 4.4)
    panels = zip(_NAMES.items(), figure.subplots(2, 2, sharex=True).flat, strict=True)
    for (name, title), axes in panels:
        values = [one.get(name) for one in found]
        heights = [math.nan if value is None else value for value in values]
        axes.plot(range(len(found)), heights, "o-", color=palette.BLUE, markersize=4)
        axes.set(title=title)
    return figure


def _table(runs: Sequence[Answered], found: Sequence[Mapping[str, Any]]) -> Table:
    def text(value: float | None) -> str:
        return words.MISSING if value is None else words.number(value)

    return Table(
        columns=("model", "gate", *_NAMES, "accuracy, permuted labels"),
        rows=tuple(
            Row(
                name=run.run.about.model,
                cells=(
                    Cell(text="open" if run.behaviour.gate.open else "closed"),
                    *(Cell(text=text(one.get(name))) for name in _NAMES),
                    Cell(text=text(one.get("accuracy_permuted"))),
                ),
                note="" if run.behaviour.gate.open else run.behaviour.gate.reason,
            )
            for run, one in zip(runs, found, strict=True)
        ),
    )


if __name__ == "__main__":
    print(write_page(tyro.cli(Asked)))
