"""Does it clean up? Pairs of models, trained seed by seed, measured at two events.

`python -m mcq_jax.studies.cleaning` trains what is missing and writes one small JSON
file per model; started again it goes on. `verdicts` reads those files, all at once:
nothing looks at them before. What is asked, and what counts as an answer, stands in
`docs/registered/cleaning.md`.
"""

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tyro

from mcq_jax.metrics import paired
from mcq_jax.results import write_whole
from mcq_jax.studies.measuring import measure_checkpoint
from mcq_jax.training import (
    Branch,
    Member,
    TrainingConfig,
    cleaning,
    corpus,
    log_spaced,
    train,
)
from mcq_jax.training.corpus import Arm, CorpusRecipe, Course
from mcq_jax.training.kept import read_curve

# The smallest changes that count: fewer nodes by a factor of 1.5, and less overlap.
BOUNDS = {"O1, arm S": 0.58, "O2, arm S": 0.15, "O1, S - F": 0.58}
# When a model had learned, and when its loss was flat, or training at its end.
EVENTS = ("t99", "late")
# Of what is scored an answer counts twice.
_ANSWER_WEIGHT = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, and where its results lie."""

    # Each trains a model of every arm, alike in all but the labels of questions.
    seeds: tuple[int, ...] = tuple(range(10))
    arms: tuple[Arm, ...] = (Arm.FIXED, Arm.SHUFFLED)
    # Optimiser steps of each.
    steps: int = 12_000
    # Of a batch.
    rows: int = 32
    # Until `lower_from`.
    learning_rate: float = 3e-3
    # The step from which the rate is `lower_rate`.
    lower_from: int = 4_000
    # Until the last step.
    lower_rate: float = 1e-3
    # From each event a branch goes on for so many steps in which the rate falls to
    # nothing; outcomes are of its end.
    decay: int = 600
    # Share of the questions whose answer is drawn.
    noise: float = 0.05
    # Checkpoints per doubling of steps.
    per_doubling: int = 4
    # Step of the first checkpoint behind the initial weights.
    first: int = corpus.DECLARED_FROM
    # Fresh questions by which accuracy is measured.
    asked: int = 500
    # Fresh questions by which outcomes are measured.
    questions: int = 96
    # Where checkpoints lie, which may be deleted.
    out: str = "runs/cleaning"
    # Where results lie, which are kept.
    results: str = "docs/registered/cleaning"
    # The commit that froze the registration.
    registered: str = ""


def training(plan: Plan, arm: Arm, seed: int) -> TrainingConfig:
    """Returns how a model of the study is trained, up to its last step."""
    recipe = _recipe(plan, arm, seed)
    lessons = corpus.answering_lessons(recipe, plan.steps)
    model, name = corpus.small_model(), _name(arm, seed)

    def evaluate(parameters: Any, member: Member) -> Mapping[str, float]:
        return corpus.measure(parameters, config=model, recipe=recipe, count=plan.asked)

    return TrainingConfig(
        title=name,
        model=model,
        tokenizer=corpus.tokenizer(),
        members=(
            Member(
                name=name, stream=Course(lessons, answer_weight=_ANSWER_WEIGHT),
                seed=seed, learning_rate=plan.learning_rate,
            ),
        ),
        steps=plan.steps,
        drops=((plan.lower_from, plan.lower_rate / plan.learning_rate),),
        feedforward_start=0.1,
        checkpoints=log_spaced(
            plan.steps, per_doubling=plan.per_doubling, first=plan.first
        ),
        keeps_states=True,
        evaluate=evaluate,
        out=f"{plan.out}/{name}/trunk",
    )  # fmt: skip


def decayed(trunk: TrainingConfig, event: str, step: int, steps: int) -> TrainingConfig:
    """Returns the branch from an event in which the learning rate falls to nothing."""
    out = pathlib.Path(str(trunk.out)).parent / event
    return dataclasses.replace(
        trunk,
        branch=Branch(folder=str(trunk.out), step=step),
        steps=step + steps,
        decay_from=step,
        checkpoints=(),
        keeps_states=False,
        out=str(out),
    )


def run_all(plan: Plan) -> None:
    """Trains and measures what has no results yet, pair by pair."""
    for seed in plan.seeds:
        for arm in plan.arms:
            path = pathlib.Path(plan.results) / f"{_name(arm, seed)}.json"
            if not path.is_file():
                print(f"{_name(arm, seed)} …", file=sys.stderr)
                found = run_one(plan, arm, seed)
                text = json.dumps(found, indent=1) + "\n"
                write_whole(path, text.encode())


def run_one(plan: Plan, arm: Arm, seed: int) -> dict[str, Any]:
    """Returns the results of one model: its curve, its events, outcomes at each."""
    start = time.perf_counter()
    config, recipe = training(plan, arm, seed), _recipe(plan, arm, seed)
    trained = train(config, quiet=True)
    [member] = config.members
    stream, own = member.stream, trained.folder / member.name
    assert isinstance(stream, Course)
    curve = curve_of(read_curve(own), stream.floor())
    events = events_of(curve)

    def outcomes(checkpoint: pathlib.Path, at: str) -> dict[str, Any]:
        out = trained.folder.parent / f"at-{at}"
        return measure_checkpoint(checkpoint, recipe, questions=plan.questions, out=out)

    found: dict[str, Any] = {
        "arm": arm.name,
        "seed": seed,
        "plan": _said(plan),
        "curve": curve,
        **events,
        "at_start": outcomes(own / "checkpoints/step-00000000", "start"),
    }
    for event in EVENTS:
        step = events[event]
        if step is not None:
            branch = train(decayed(config, event, step, plan.decay), quiet=True)
            found[f"at_{event}"] = outcomes(branch.checkpoints[member.name], event)
    if events["t99"] is None:  # as with random golds: its gate should be closed
        found["at_last"] = outcomes(trained.checkpoints[member.name], "last")
    return found | {"hours": (time.perf_counter() - start) / 3600}


def curve_of(lines: Sequence[Mapping[str, Any]], floor: float) -> dict[str, list]:
    """Returns what was measured at each checkpoint, and the loss above the floor."""
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    measured = [line for line in lines if "accuracy_plain" in line and line["step"] > 0]
    steps = np.array([line["step"] for line in measured])
    names = [name for name in measured[0] if name != "step"]
    return {
        "step": steps.tolist(),
        "excess": (cleaning.smoothed(losses, steps) - floor).tolist(),
        **{name: [line[name] for line in measured] for name in names},
    }


def events_of(curve: Mapping[str, list]) -> dict[str, int | None]:
    """Returns the steps of events, None where one did not come.

    `late` is where the loss was flat, else the last step of a model that had learned.
    """
    steps = np.array(curve["step"])
    learned = cleaning.step_learned(steps, np.array(curve["accuracy_plain"]))
    flat = cleaning.step_flat(steps, np.array(curve["excess"]), behind=learned)
    last = None if learned is None else int(steps[-1])
    return {"t99": learned, "flat": flat, "late": last if flat is None else flat}


def verdicts(results: Sequence[Mapping[str, Any]]) -> dict[str, paired.PairedTest]:
    """Returns the three registered tests, of all results together.

    A model without an outcome makes no pair: it is counted by what it lacks.
    """
    by_arm = {
        arm: {r["seed"]: r for r in results if r["arm"] == arm.name} for arm in Arm
    }
    fixed, shuffled = by_arm[Arm.FIXED], by_arm[Arm.SHUFFLED]

    def change(name: str) -> np.ndarray:
        ends = [(outcome(r, "late", name), outcome(r, "t99", name))
                for r in shuffled.values()]  # fmt: skip
        return _differences(ends)

    both = [(outcome(shuffled[seed], "late", "O1"), outcome(fixed[seed], "late", "O1"))
            for seed in sorted(fixed.keys() & shuffled.keys())]  # fmt: skip
    found = (change("O1"), change("O2"), _differences(both))
    return paired.decide(dict(zip(BOUNDS, found, strict=True)), BOUNDS)


def read_results(folder: str) -> list[dict[str, Any]]:
    """Returns all results that are there, by name."""
    paths = sorted(pathlib.Path(folder).glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def missing(plan: Plan, results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the models of a plan that have no results, by name."""
    planned = {_name(arm, seed) for arm in plan.arms for seed in plan.seeds}
    there = {_name(Arm[result["arm"]], result["seed"]) for result in results}
    return sorted(planned - there)


def outcome(result: Mapping[str, Any], event: str, name: str) -> float | None:
    """Returns what was measured of a model at an event, if it came and can be had."""
    return (result.get(f"at_{event}") or {}).get(name)


def _differences(ends: Sequence[tuple[float | None, float | None]]) -> np.ndarray:
    return np.array(
        [a - b for a, b in ends if a is not None and b is not None], dtype=float
    )


def _said(plan: Plan) -> dict[str, Any]:
    """A plan without where its files lie: that changes no number."""
    said = dataclasses.asdict(plan) | {"arms": [arm.name for arm in plan.arms]}
    return {name: said[name] for name in said if name not in ("out", "results")}


def _recipe(plan: Plan, arm: Arm, seed: int) -> CorpusRecipe:
    return CorpusRecipe(seed=seed, arm=arm, rows=plan.rows, noise=plan.noise)


def _name(arm: Arm, seed: int) -> str:
    return f"{arm.name.lower()}-{seed:03d}"


if __name__ == "__main__":
    run_all(tyro.cli(Plan))
