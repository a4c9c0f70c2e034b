"""A run, and a section of somebody else's, in which every text is an attack."""

import dataclasses
from collections.abc import Callable
from typing import Any

from mcq_jax.report import canvas, words
from mcq_jax.report.cards import Card, Track
from mcq_jax.report.claims import Claim
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import KINDS, Record, RunResults
from tests.report import examples
from tests.results.test_findings import filled

# Long, too: no figure may lose its axes to a text.
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> & \"'$x^2$ </pre>"
    + "and so on " * 60
)
# Words by which the program itself tells its findings apart.
_OURS = {
    *words.CLASS_MEANINGS, *words.SOURCE_MEANINGS, "mlp",
    "selected", "next_best", "random", "all", "cumulative",
}  # fmt: skip


def every_experiment() -> RunResults:
    """Findings of every experiment of the package, those without an example filled."""
    run = examples.planted()
    values = {
        name: run.records[name].values if name in run.records else filled(kind)
        for name, kind in KINDS.items()
    }
    return examples.results(run.about, values, run.seconds)


def hostile_run(attack: str = HOSTILE) -> RunResults:
    """Findings of every experiment, and of one that is not known, all attacks."""
    run = every_experiment()
    values = {name: record.values for name, record in run.records.items()}
    values[attack] = {attack: attack, "list": [attack], "rows": [{attack: attack}]}
    records = {
        name: Record(values=value if name == attack else attacked(value, attack))
        for name, value in values.items()
    }
    stale = dataclasses.replace(records["joint_tests"], needs={attack: "another key"})
    about = attacked(run.about, attack)
    return RunResults(
        about=dataclasses.replace(about, labels=(attack, *"BCD")),
        records={**records, "joint_tests": stale},
        opening={attack: 1.0},
    )


def attacked(value: Any, attack: str) -> Any:
    """The same with an attack for every text, keys included."""
    if isinstance(value, str):
        return value if value in _OURS else attack
    if isinstance(value, tuple):
        return tuple(attacked(each, attack) for each in value)
    if isinstance(value, dict):
        return {attacked(k, attack): attacked(v, attack) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        changes = {name: attacked(each, attack) for name, each in fields.items()}
        return dataclasses.replace(value, **changes)
    return value


def hostile_section(attack: str = HOSTILE) -> Callable[[RunResults], Section]:
    """A section whose every text is an attack, as if it repeated its findings."""

    @canvas.styled
    def draw(run: RunResults):
        figure = canvas.new_figure(4, 2)
        axes = figure.subplots()
        canvas.tip(axes.plot([0, 1], [0, 1], "o")[0], attack)
        axes.set_title(attack[:30])
        return figure

    table = Table(
        columns=(attack, attack),
        rows=(
            Row(name=attack, cells=(Cell(text=attack, below=attack),), note=attack,
                mark=attack),
        ),
    )  # fmt: skip
    track = Track(low=0.0, high=2.0, mean=1.0, marks=((50.0, attack),))
    section = Section(
        anchor="hostile",
        short=attack,
        title=attack,
        text=attack,
        figures=(
            Plate(
                name="hostile_figure", title=attack, caption=attack, sample=attack,
                draw=draw,
            ),
        ),
        tables=(Titled(table=table, title=attack, note=attack),),
        claims=(Claim(text=attack, status=attack, why=attack),),
        cards=(
            Card(label=attack, value=attack, spread=attack, sample=attack, note=attack,
                 track=track),
        ),
        scope=(attack,),
        experiment=attack,
    )  # fmt: skip
    return lambda run: section
