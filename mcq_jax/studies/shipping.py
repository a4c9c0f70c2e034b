"""`ship`: the files of `mcq_jax.learned`, from a finished training of a `Course`."""

import json
import os
import pathlib
import shutil
from typing import Any

from mcq_jax import learned
from mcq_jax.json_values import to_json
from mcq_jax.training import TrainingConfig, corpus, kept

# Of its own questions, how many come along, and what draws them.
_QUESTIONS, _SEED = 96, 1000


def ship(
    config: TrainingConfig,
    member: str | os.PathLike,
    folder: str | os.PathLike = learned.CHECKPOINT.parent,
) -> None:
    """Writes a trained model with its recipe, curve and questions.

    Args:
        config: of one member, whose stream is a `Course`.
        member: that member's folder in the training's own.
        folder: where to; where the package has its model, if left out.
    """
    source, target = pathlib.Path(member), pathlib.Path(folder)
    last = source / "checkpoints" / f"step-{config.steps:08d}"
    shutil.copytree(last, target / learned.CHECKPOINT.name, dirs_exist_ok=True)
    shutil.copyfile(source / "curve.jsonl", target / learned.CURVE.name)
    text = json.dumps(recipe_of(config), indent=1) + "\n"
    (target / learned.RECIPE.name).write_text(text, encoding="utf-8")
    recipe = _course(config).lessons[-1].recipe
    asked = corpus.generate_questions(recipe, _QUESTIONS, seed=_SEED)
    corpus.save_questions(target / learned.QUESTIONS.name, asked)


def recipe_of(config: TrainingConfig) -> dict[str, Any]:
    """Returns all that the numbers of a training with a course follow from."""
    course, [member] = _course(config), config.members
    return {
        "lessons": to_json(course.lessons),
        "answer_weight": course.answer_weight,
        "steps": config.steps,
        **kept.identity(config, member),
    }


def _course(config: TrainingConfig) -> corpus.Course:
    streams = [member.stream for member in config.members]
    if len(streams) != 1 or not isinstance(streams[0], corpus.Course):
        kinds = ", ".join(type(stream).__name__ for stream in streams)
        raise ValueError(f"members with streams {kinds}; one of a Course is shipped.")
    return streams[0]
