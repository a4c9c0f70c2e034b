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
from mcq_jax.training import Member, TrainingConfig, cleaning, corpus, log_spaced, train
from mcq_jax.training.corpus import Arm, CorpusRecipe
from mcq_jax.training.kept import read_curve

# The smallest changes that count: fewer nodes by a factor of 1.5, and less overlap.
BOUNDS = {"O1, arm S": 0.58, "O2, arm S": 0.15, "O1, S - F": 0.58}
EVENTS = ("t99", "flat")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, and where its results lie."""

    # Each trains a model of every arm, alike in all but the labels of questions.
    seeds: tuple[int, ...] = tuple(range(10))
    arms: tuple[Arm, ...] = (Arm.FIXED, Arm.SHUFFLED)
    steps: int = 12_000
    rows: int = 32
    learning_rate: float = 3e-3
    # Checkpoints per doubling of steps, from the first one on.
    per_doubling: int = 4
    first: int = 500
    # Fresh questions by which accuracy is measured, and by which outcomes are.
    asked: int = 500
    questions: int = 96
    # Where checkpoints are, which may be deleted, and results, which are kept.
    out: str = "runs/cleaning"
    results: str = "docs/registered/cleaning"


def training(plan: Plan, arm: Arm, seed: int) -> TrainingConfig:
    """Returns how a model of the study is trained."""
    recipe = CorpusRecipe(seed=seed, arm=arm, rows=plan.rows)
    model = corpus.small_model()

    def evaluate(parameters: Any, member: Member) -> Mapping[str, float]:
        return corpus.measure(parameters, config=model, recipe=recipe, count=plan.asked)

    name = _name(arm, seed)
    return TrainingConfig(
        title=name,
        model=model,
        tokenizer=corpus.tokenizer(),
        members=(
            Member(
                name=name, stream=corpus.Corpus(recipe), seed=seed,
                learning_rate=plan.learning_rate,
            ),
        ),
        steps=plan.steps,
        checkpoints=log_spaced(
            plan.steps, per_doubling=plan.per_doubling, first=plan.first
        ),
        evaluate=evaluate,
        out=f"{plan.out}/{name}",
    )  # fmt: skip


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
    config = training(plan, arm, seed)
    trained = train(config, quiet=True)
    (member,) = config.members
    recipe = CorpusRecipe(seed=seed, arm=arm, rows=plan.rows)
    curve = curve_of(
        read_curve(trained.folder / member.name), corpus.floor_of(recipe).loss
    )
    found: dict[str, Any] = {
        "arm": arm.name,
        "seed": seed,
        "plan": dataclasses.asdict(plan) | {"arms": [a.name for a in plan.arms]},
        "curve": curve,
        **events_of(curve),
    }
    for event in EVENTS:
        if found[event] is not None:
            folder = trained.folder / member.name / "checkpoints"
            found[f"at_{event}"] = measure_checkpoint(
                folder / f"step-{found[event]:08d}",
                recipe,
                questions=plan.questions,
                out=trained.folder / f"at-{event}",
            )
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
    """Returns the steps of both events, None where one did not come."""
    steps = np.array(curve["step"])
    learned = cleaning.step_learned(steps, np.array(curve["accuracy_plain"]))
    flat = cleaning.step_flat(steps, np.array(curve["excess"]), behind=learned)
    return {"t99": learned, "flat": flat}


def verdicts(results: Sequence[Mapping[str, Any]]) -> dict[str, paired.PairedTest]:
    """Returns the three registered tests, of all results together.

    A model without an outcome makes no pair: it is counted by what it lacks.
    """
    by_arm = {
        arm: {r["seed"]: r for r in results if r["arm"] == arm.name} for arm in Arm
    }
    fixed, shuffled = by_arm[Arm.FIXED], by_arm[Arm.SHUFFLED]

    def change(outcome: str) -> np.ndarray:
        ends = [(_at(r, "flat", outcome), _at(r, "t99", outcome))
                for r in shuffled.values()]  # fmt: skip
        return _differences(ends)

    both = [(_at(shuffled[seed], "flat", "O1"), _at(fixed[seed], "flat", "O1"))
            for seed in sorted(fixed.keys() & shuffled.keys())]  # fmt: skip
    found = (change("O1"), change("O2"), _differences(both))
    return paired.decide(dict(zip(BOUNDS, found, strict=True)), BOUNDS)


def read_results(folder: str) -> list[dict[str, Any]]:
    """Returns all results that are there, by name."""
    paths = sorted(pathlib.Path(folder).glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _at(result: Mapping[str, Any], event: str, outcome: str) -> float | None:
    return (result.get(f"at_{event}") or {}).get(outcome)


def _differences(ends: Sequence[tuple[float | None, float | None]]) -> np.ndarray:
    return np.array(
        [a - b for a, b in ends if a is not None and b is not None], dtype=float
    )


def _name(arm: Arm, seed: int) -> str:
    return f"{arm.name.lower()}-{seed:03d}"


if __name__ == "__main__":
    run_all(tyro.cli(Plan))
