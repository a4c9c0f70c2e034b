"""Ladders of planted models whose heads are given, without what finds them."""

import pathlib
import types
from typing import cast

import numpy as np

from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import Ladder, PromptOptions
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.experiments.study import Study
from mcq_jax.planted import Described
from mcq_jax.results import HeadClassesFindings, HeadFound, LadderFound, Record
from tests.experiments.runs import lab_of
from tests.results.test_findings import filled


def climb(
    model: Described,
    out: pathlib.Path,
    ladder: Ladder,
    *,
    mutation: str = "none",
    questions: int = 12,
) -> LadderFound:
    """Fits on half of the questions and reads on the others."""
    planted = model.planted
    checkpoint = Checkpoint(
        parameters=planted.parameters, config=planted.config,
        tokenizer=planted.tokenizer, name="planted", content_hash=f"{planted.seed}",
    )  # fmt: skip
    options = PromptOptions(
        questions="planted", question_count=questions, mutation=mutation,
        planted_choices=planted.choices,
    )  # fmt: skip
    asked = make_prompts(options, checkpoint)
    names = np.unique(asked.question)
    chosen = np.isin(asked.question, names[: questions // 2])
    study = types.SimpleNamespace(question=asked.question, choosing=chosen)
    lab = lab_of(checkpoint, cast(Study, study), out)
    lab._prompt_sets = {"main": asked}
    heads = tuple(
        filled(HeadFound, name=str(head), layer=head.layer, head=head.head,
               head_class="correct_letter")
        for head in model.heads
    )  # fmt: skip
    lab.records["head_classes"] = Record(values=HeadClassesFindings(heads=heads))
    [found] = ladder.run(lab).sets
    return found
