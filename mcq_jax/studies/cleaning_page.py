"""The page "Does it clean up?", from all results of the study at once.

`python -m mcq_jax.studies.cleaning_page --registered COMMIT`
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from mcq_jax.metrics import paired
from mcq_jax.metrics.paired import PairedTest, Verdict
from mcq_jax.report import canvas, palette, words
from mcq_jax.report.plain_page import write_plain_page
from mcq_jax.report.section import Plate, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.studies import cleaning
from mcq_jax.studies.cleaning import BOUNDS, EVENTS, Plan
from mcq_jax.training.cleaning import planted_outcomes
from mcq_jax.training.corpus import Arm

_COLOURS = {Arm.FIXED.name: palette.BLUE, Arm.SHUFFLED.name: palette.ORANGE}
_LABELS = {"O1": "O1: log2 of nodes for 0.8", "O2": "O2: overlap of place and letter"}
# What the plan of the study names and was not run.
_NOT_RUN = (
    "random labels (arm R), 4 seeds", "weight decay", "width and depth",
    "tokens per parameter", "proto-correct-letter heads",
)  # fmt: skip
_TEXT = (
    "Is the mess of a multiple-choice circuit inherent, or does it clean up as a model "
    "trains on, or if its labels are shuffled in training? Two outcomes, both less "
    "when cleaner: O1, how many nodes it takes to bring back 0.8 of the held-out "
    "effect; O2, how far place and letter are in the residual stream at once.",
    "At most 0.4M parameters, synthetic text, no sentence seen twice: no statement "
    "about Chinchilla, or any model of another size.",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What to draw, and where to."""

    # The commit that froze the registration.
    registered: str
    results: str = Plan().results
    # Of models whose golds were drawn (`studies.cleaning --noise 0.999`), if any.
    random_golds: str = "docs/registered/random_golds"
    out: str = "runs/cleaning/report.html"
    # What was done otherwise than registered, a sentence each.
    deviations: tuple[str, ...] = ()


def write_page(asked: Asked, plan: Plan) -> pathlib.Path:
    """Writes the page; returns its path.

    Raises:
        ValueError: if a model of the plan has no results yet: nobody looks before.
    """
    results = cleaning.read_results(asked.results)
    missing = cleaning.missing(plan, results)
    if missing:
        raise ValueError(
            f"no results of {', '.join(missing)} yet; the registration has all of them "
            "read together, so run `python -m mcq_jax.studies.cleaning` first."
        )
    found = cleaning.verdicts(results)
    criterion = (
        f"Outcomes, tests and bounds were fixed in docs/registered/cleaning.md by the "
        f"commit {asked.registered}, before any of these models was trained. Verdicts: "
        "cleaner or messier, if the whole interval at Holm's level is beyond the "
        "bound; no change, if the 90 % interval is within both; else undecided."
    )
    deviations = "Deviations from the registration: " + (
        " ".join(asked.deviations) or "none."
    )
    learned = sum(result["t99"] is not None for result in results)
    sample = f"n = {learned} of {words.count(len(results), 'model')}, a line each"
    figures = (
        (
            _plate(
                "outcomes_by_event",
                "Outcomes at both events",
                "At t99 and at the end (where the loss was flat, else the last step), "
                "each after a branch in which the learning rate fell to nothing. "
                "Dashed: a planted path from messy to clean.",
                sample,
            ),
            outcomes(results),
        ),
        (
            _plate(
                "learning_on_event_time",
                "Learning, on event time",
                "Steps are counted in t99 of each model that had one: an average of "
                "jumps that do not fall together would look gradual.",
                sample,
            ),
            learning(results),
        ),
    )
    tables = (
        Titled(
            table=_verdicts(found),
            title="Verdicts",
            note="Infeasible: fewer than 8 pairs in which both have the outcome.",
        ),
        Titled(
            table=_models(results),
            title="Every model",
            note="Steps; O1 and O2 at t99 and at the end; a dash where an outcome is "
            "not to be had. Permuted: accuracy on permuted labels at the end, from "
            "95 % on O2 is asked for. At the start: the gate of the untrained model.",
        ),
        Titled(
            table=_by_arm(results),
            title="By arm, described",
            note="Means over models that learned, with 95 % t intervals; not tested. "
            "Accuracies of the curve at the last step; permuted labels after the "
            "branches, at t99 and at the end.",
        ),
        *_controls(cleaning.read_results(asked.random_golds)),
    )
    return write_plain_page(
        pathlib.Path(asked.out),
        title="Does it clean up?",
        eyebrow="study",
        text=(_TEXT[0], criterion, deviations, _TEXT[1]),
        figures=figures,
        tables=tables,
    )


def _plate(name: str, title: str, caption: str, sample: str) -> Plate:
    def undrawn(run: Any) -> Figure:
        raise NotImplementedError("it was drawn from results, not from a run")

    return Plate(name=name, title=title, caption=caption, sample=sample, draw=undrawn)


def _verdicts(found: Mapping[str, PairedTest]) -> Table:
    return Table(
        columns=(
            "test", "verdict", "change", "90 % interval", "p by sign flips, by t",
            "pairs", "smallest that counts",
        ),
        rows=tuple(
            Row(name=name, cells=_verdict(test, BOUNDS[name]))
            for name, test in found.items()
        ),
    )  # fmt: skip


def _verdict(test: PairedTest, bound: float) -> tuple[Cell, ...]:
    sizes = (Cell(text=str(test.pairs)), Cell(text=words.number(bound)))
    said = Cell(text=test.verdict.name.lower().replace("_", " "))
    if test.verdict is Verdict.INFEASIBLE:
        return (said, *[Cell(text=words.MISSING)] * 3, *sizes)
    low, high, low90, high90 = map(
        words.number, (test.low, test.high, test.low90, test.high90)
    )
    interval = f"{words.percent(test.level)} interval {low} to {high}"
    return (
        said,
        Cell(text=words.signed(test.mean), below=interval),
        Cell(text=f"{low90} to {high90}"),
        Cell(text=f"{words.p_value(test.sign_flip_p)}, {words.p_value(test.t_p)}"),
        *sizes,
    )


def _models(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        Row(name=f"arm {r['arm'][0]}, seed {r['seed']}", cells=_cells(r), note=_fate(r))
        for r in results
    ]
    dashes = tuple(Cell(text=words.MISSING) for _ in range(8))
    rows += [Row(name=what, cells=dashes, note="not run") for what in _NOT_RUN]
    return Table(
        columns=(
            "model", "t99", "flat", "end", "accuracy", "permuted", "O1", "O2",
            "D at the start",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _by_arm(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for arm in dict.fromkeys(result["arm"] for result in results):
        learned = [r for r in results if r["arm"] == arm and r["t99"] is not None]
        if not learned:
            continue
        steps = np.array([r["t99"] for r in learned])
        values = [
            2.0 ** np.array([r["at_late"]["O1"] for r in learned]),
            *(
                np.array([r[f"at_{event}"].get(_PERMUTED, np.nan) for r in learned])
                for event in EVENTS
            ),
            *(
                np.array([r["curve"].get(f"accuracy_{name}", [np.nan])[-1]
                          for r in learned])
                for name in ("new_options", "new_facts", "random")
            ),
        ]  # fmt: skip
        cells = (Cell(text=f"{np.median(steps):,.0f}"), *map(_mean, values))
        rows.append(Row(name=f"arm {arm[0]}, {len(learned)} learned", cells=cells))
    columns = (
        "models", "median t99", "nodes at the end", "permuted, t99", "permuted, end",
        "new options", "new facts", "random letters",
    )  # fmt: skip
    return Table(columns=columns, rows=tuple(rows))


def _mean(values: Float[np.ndarray, " model"]) -> Cell:
    if np.isnan(values).any() or len(values) < 2:
        return Cell(text=words.MISSING)
    low, high = paired.t_interval(values, 0.95)
    below = f"{words.number(low)} to {words.number(high)}"
    return Cell(text=words.number(values.mean()), below=below)


def _controls(results: Sequence[Mapping[str, Any]]) -> tuple[Titled, ...]:
    """The gates of models that had nothing to learn of answers."""
    rows = [
        Row(
            name=f"arm {r['arm'][0]}, seed {r['seed']}",
            cells=(
                Cell(text=_step(r["t99"])),
                Cell(text=_share(r["at_last"]["accuracy"])),
                Cell(text=_number(r["at_last"]["D"])),
                Cell(text=" to ".join(map(words.number, r["at_last"]["gate"]["null"]))),
                Cell(text="open" if r["at_last"]["gate"]["open"] else "closed"),
            ),
        )
        for r in results
    ]
    table = Table(
        columns=("model", "t99", "accuracy", "D", "null", "gate"), rows=tuple(rows)
    )
    note = "Trained as long, but every gold was drawn: no gate should open."
    return (Titled(table=table, title="Random golds", note=note),) * bool(rows)


def _cells(result: Mapping[str, Any]) -> tuple[Cell, ...]:
    start = result.get("at_start") or {}
    steps = tuple(_step(result.get(event)) for event in ("t99", "flat", "late"))
    both = [
        " → ".join(_number(cleaning.outcome(result, event, name)) for event in EVENTS)
        for name in ("O1", "O2")
    ]
    shares = [cleaning.outcome(result, "late", n) for n in ("accuracy", _PERMUTED)]
    return (
        *(Cell(text=text) for text in steps),
        *(Cell(text=_share(value)) for value in shares),
        *(Cell(text=text) for text in both),
        Cell(text=_number(start.get("D"))),
    )


def _fate(result: Mapping[str, Any]) -> str:
    if result["t99"] is None:
        return "never learned"
    return "not flat by its last step" if result["flat"] is None else ""


def _step(step: int | None) -> str:
    return words.MISSING if step is None else f"{step:,}"


def _number(value: float | None) -> str:
    return words.MISSING if value is None else words.number(value)


def _share(value: float | None) -> str:
    return words.MISSING if value is None else words.percent(value, 1)


@canvas.styled
def outcomes(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Both outcomes at both events, a thin line for each model."""
    figure = canvas.new_figure(7.2, 3.4)
    panels = zip(_LABELS, figure.subplots(1, 2), strict=True)
    for number, (name, axes) in enumerate(panels):
        for result in results:
            ends = [cleaning.outcome(result, event, name) for event in EVENTS]
            if None not in ends:
                _line(axes, [0, 1], ends, result)
        path = [planted_outcomes(stage)[number] for stage in np.linspace(0, 1, 11)]
        axes.plot(
            np.linspace(0, 1, 11), path, "--", color=palette.GREY,
            label="planted, messy to clean",
        )  # fmt: skip
        axes.set(title=_LABELS[name], xlim=(-0.15, 1.15))
        axes.set_xticks([0, 1], ["t99", "end"])
    _legend(figure.axes[0])
    return figure


@canvas.styled
def learning(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy and excess loss over steps in units of t99."""
    figure = canvas.new_figure(7.2, 3.2)
    accuracy, excess = figure.subplots(1, 2)
    for axes in (accuracy, excess):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2]))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    for result in results:
        if result["t99"] is not None:
            steps = np.array(result["curve"]["step"]) / result["t99"]
            _line(accuracy, steps, result["curve"]["accuracy_plain"], result)
            _line(excess, steps, result["curve"]["excess"], result)
    accuracy.set(title="accuracy, plain labels", xlabel="step / t99")
    excess.set(title="loss above the floor, nats", yscale="log", xlabel="step / t99")
    _legend(accuracy)
    return figure


def _line(axes: Axes, x: Any, y: Any, result: Mapping[str, Any]) -> None:
    line = axes.plot(x, y, color=_COLOURS[result["arm"]], linewidth=0.8, alpha=0.8)[0]
    canvas.tip(line, f"arm {result['arm'][0]}, seed {result['seed']}")


def _legend(axes: Axes) -> None:
    for arm, colour in _COLOURS.items():
        axes.plot([], [], color=colour, label=f"arm {arm[0]} ({arm.lower()})")
    axes.legend(loc="best")


_PERMUTED = "accuracy_permuted"

if __name__ == "__main__":
    print(write_page(tyro.cli(Asked), Plan()))
