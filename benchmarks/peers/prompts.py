"""The prompts: random tokens, or questions that a published checkpoint is asked."""

import pathlib

import numpy as np

from benchmarks.peers.models import Twins
from benchmarks.peers.task import Task
from mcq_jax import prompts
from mcq_jax.prompts import Question, Template


def random_task(twins: Twins, *, tokens: int, prompt_count: int) -> Task:
    """Random tokens and answers; time does not depend on them."""
    rng = np.random.default_rng(0)
    shape = (prompt_count, tokens)
    ids, source_ids = rng.integers(0, twins.config.vocabulary, (2, *shape))
    answers = rng.integers(0, twins.config.vocabulary, (prompt_count, 4))
    return Task(twins, ids, source_ids, answers)


def word_copy_task(twins: Twins) -> Task:
    """One question of the synthetic task."""
    return _question_task(twins, prompts.word_copy(20), prompts.PLAIN_PAREN)


def mmlu_task(twins: Twins, folder: pathlib.Path) -> Task:
    """One MMLU question of usual length."""
    questions = prompts.sample(prompts.read_mmlu(folder), count=40, seed=0)
    return _question_task(twins, questions, prompts.PAPER)


def _question_task(
    twins: Twins, questions: tuple[Question, ...], template: Template
) -> Task:
    """The question of median length; its source has the same options in other order."""
    asked = []
    for question in questions:
        rotations = prompts.render_rotations(question, template)
        rows = [prompts.tokenise(each, twins.tokenizer) for each in rotations]
        for source in rows[1:]:
            if len(source.ids) == len(rows[0].ids):
                asked.append((rows[0], source))
                break
    asked.sort(key=lambda pair: len(pair[0].ids))
    prompt, source = asked[len(asked) // 2]
    columns = (prompt.ids, source.ids, prompt.answer_ids)
    return Task(twins, *(np.asarray(a, np.int64)[None] for a in columns))
