"""Small runs for the tests of the pipeline: planted circuits, and random models."""

import dataclasses
import functools
import io
import pathlib
from typing import Any

import numpy as np
import pytest
import rich.console

from mcq_jax import json_values, report
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import (
    Behaviour,
    EarlierPositions,
    Experiment,
    HeadClasses,
    JointTests,
    Lab,
    NodeEffects,
    PlantedTruth,
    Progress,
    RunConfig,
    run,
)
from mcq_jax.experiments.study import Study
from mcq_jax.model import ModelConfig
from mcq_jax.planted import asking
from mcq_jax.report import sections
from mcq_jax.results import RunFolder, RunResults
from tests import tiny

# How many questions, and which seed draws them, by the number of options: few with
# which the gate can open and both halves have two. All circuits are asked the same.
QUESTIONS = {2: (7, 1), 4: (4, 1), 7: (4, 1), 10: (4, 0)}


def quiet() -> Progress:
    return Progress(rich.console.Console(file=io.StringIO()))


def planted_config(
    out: pathlib.Path,
    *,
    circuit: int = 0,
    choices: int = 4,
    variant: str = "ordinal",
    random_sets: int = 1,
    **changes: Any,
) -> RunConfig:
    """A run on a planted circuit with as little as will do."""
    questions, questions_seed = QUESTIONS[choices]
    given: dict[str, Any] = dict(
        title="Planted",
        model="planted",
        questions="planted",
        question_count=questions,
        effect_questions=questions,
        seed=questions_seed,
        experiments=experiments(random_sets=random_sets),
        batch=16,
        planted_seed=circuit,
        planted_choices=choices,
        planted_variant=variant,
        out=str(out),
    )
    return RunConfig(**given | changes)


def experiments(*, random_sets: int = 1) -> tuple[Experiment, ...]:
    """Everything that can be run of a planted model."""
    return (
        Behaviour(), NodeEffects(), JointTests(random_sets=random_sets), HeadClasses(),
        EarlierPositions(questions=1), PlantedTruth(),
    )  # fmt: skip


def with_experiments(config: RunConfig, *experiments: Experiment) -> RunConfig:
    """A card with these as well, or with their options in place of its own."""
    by_name = {e.name: e for e in (*config.experiments, *experiments)}
    return dataclasses.replace(config, experiments=tuple(by_name.values()))


def planted_run(
    out: pathlib.Path, *, circuit: int, choices: int, variant: str
) -> tuple[RunResults, RunFolder]:
    config = planted_config(out, circuit=circuit, choices=choices, variant=variant)
    return run(config, quiet())


def lab_of(checkpoint: Checkpoint, study: Study, out: pathlib.Path) -> Lab:
    """A lab at work on prompts that are chosen already."""
    lab = Lab(
        config=planted_config(out), checkpoint=checkpoint, truth=None, prompt_sets={},
        folder=RunFolder.open(out, {"identity": {}}), progress=quiet(),
    )  # fmt: skip
    lab.__dict__["study"] = study
    return lab


def page_with(run: RunResults, folder: RunFolder, *anchors: str) -> str:
    """A run's page, of whose sections these alone are drawn: figures take time."""
    every = sections.sections

    def chosen(run: RunResults, extra=()):
        return tuple(one for one in every(run, extra) if one.anchor in anchors)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sections, "sections", chosen)
        page = report.write_report(run, pathlib.Path(folder.path))
    text = page.read_text(encoding="utf-8")
    for anchor in anchors:
        assert f'id="{anchor}"' in text
    return text


def lasting(found: RunResults) -> dict:
    """Everything in the findings but how long it took."""
    return {name: json_values.to_json(r.values) for name, r in found.records.items()}


@functools.cache
def random_checkpoint(config: ModelConfig, *, seed: int = 0) -> Checkpoint:
    """A model of random weights that reads what planted models read."""
    tokenizer = asking.tokenizer()
    assert config.vocabulary == tokenizer.vocabulary_size
    return Checkpoint(
        parameters=tiny.random_parameters(config, seed=seed),
        config=config,
        tokenizer=tokenizer,
        name="random weights",
        content_hash=f"random-{seed}",
    )


def nets(logits: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Gold logit minus the mean of the others, over `[prompt, …, choice]`."""
    is_gold = np.eye(logits.shape[-1])[gold]
    is_gold = is_gold.reshape(len(gold), *(1,) * (logits.ndim - 2), -1)
    others = (1 - is_gold) / (logits.shape[-1] - 1)
    return (logits * (is_gold - others)).sum(-1)
