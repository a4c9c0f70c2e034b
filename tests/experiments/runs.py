"""Small runs for the tests of the pipeline: planted circuits, and random models."""

import functools
import io
import json
import pathlib
from typing import Any

import numpy as np
import rich.console

from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import Progress, RunConfig, run
from mcq_jax.model import ModelConfig
from mcq_jax.planted import asking
from mcq_jax.results import Findings, RunFolder
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
        earlier_position_questions=1,
        random_sets=1,
        batch=16,
        planted_seed=circuit,
        planted_choices=choices,
        planted_variant=variant,
        out=str(out),
    )
    return RunConfig(**given | changes)


def planted_run(
    out: pathlib.Path, *, circuit: int, choices: int, variant: str
) -> tuple[Findings, RunFolder]:
    config = planted_config(out, circuit=circuit, choices=choices, variant=variant)
    return run(config, quiet())


def lasting(findings: Findings) -> dict:
    """Everything in the findings but how long it took."""
    found = json.loads(findings.to_json())
    del found["seconds"]
    return found


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
