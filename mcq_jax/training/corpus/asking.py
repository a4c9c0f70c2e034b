"""Questions of a corpus, for the ordinary run: `prompts.Question`s and their template.

What is rendered and tokenised of them is the corpus's own text, token by token.
"""

import dataclasses
import enum
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from mcq_jax.arguments import as_path
from mcq_jax.prompts import Question
from mcq_jax.training.corpus import documents
from mcq_jax.training.corpus.recipe import OPTIONS, TIME, CorpusRecipe
from mcq_jax.training.corpus.vocabulary import BOS, IDS, PAD, VOCABULARY
from mcq_jax.training.corpus.world import RELATIONS, make_world, values_of


class Asked(enum.Enum):
    """Which questions; the first are those of training, the others are held out."""

    TRAINED = "facts and combinations of options as in training"
    NEW_FACTS = "facts that are stated in training and never asked"
    NEW_OPTIONS = "a wrong option that never stands beside the right one in training"


def generate_questions(
    recipe: CorpusRecipe,
    count: int,
    *,
    choices: int = 4,
    seed: int = 0,
    asked: Asked = Asked.TRAINED,
) -> tuple[Question, ...]:
    """Returns different questions with the right option known for certain.

    Their subject is the relation that they are about.
    """
    if choices not in OPTIONS:
        raise ValueError(
            f"{choices} options; questions of the corpus have {OPTIONS[0]} to "
            f"{OPTIONS[-1]}."
        )
    world, found = make_world(recipe.seed, recipe.held_out), {}
    random = np.random.default_rng((seed, _ASKING))
    for _ in range(20):
        made = draw_questions(recipe, max(count, 20), random, choices, asked=asked)
        for row in range(len(made.gold)):
            question = _question(made, row)
            found.setdefault(question.content_id, question)
        if len(found) >= count:
            return tuple(found.values())[:count]
    raise ValueError(
        f"{count} questions were asked for and {len(found)} different ones found of "
        f"{world.asked.sum()} facts; ask for fewer."
    )


def save_questions(
    path: str | os.PathLike, questions: Sequence[Question]
) -> pathlib.Path:
    """Writes questions as the JSONL file that a run card names (`questions=`)."""
    path = as_path(path, "a path")
    lines = [
        json.dumps(
            {
                "question": question.text,
                "options": question.options,
                "answer": question.gold,
                "subject": question.subject,
            }
        )
        for question in questions
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def draw_questions(
    recipe: CorpusRecipe,
    count: int,
    random: np.random.Generator,
    choices: int | None = None,
    *,
    asked: Asked = Asked.TRAINED,
) -> documents.Questions:
    """Returns questions as arrays, without noise; labels as in the recipe's arm.

    Args:
        choices: of every question; as often as in training where left out.
    """
    world = make_world(recipe.seed, recipe.held_out)
    options = recipe.options
    if choices is not None:
        options = tuple(float(n == choices) for n in OPTIONS)
    without_noise = dataclasses.replace(recipe, noise=0.0, options=options)
    return documents.questions(
        without_noise,
        world,
        count,
        random,
        random.spawn(1)[0],
        asked=~world.asked if asked is Asked.NEW_FACTS else world.asked,
        siblings=asked is Asked.NEW_OPTIONS,
    )


def _question(made: documents.Questions, row: int) -> Question:
    ids = documents.pack(made.tokens[row : row + 1], TIME, IDS[PAD])[0]
    words = [VOCABULARY[index] for index in ids]
    relation = RELATIONS[made.relation[row]]
    values = values_of(relation)
    return Question(
        text=" ".join(words[words.index(BOS) + 1 : words.index("?") + 1]),
        options=tuple(values[i] for i in made.options[row] if i >= 0),
        gold=int(made.gold[row]),
        subject=relation,
    )


# Sets this draw apart from those of batches.
_ASKING = 1 << 21
