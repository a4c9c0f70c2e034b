"""A corpus to train on: facts, lists, copies, counts, and multiple-choice questions."""

from mcq_jax.training.corpus.asking import (
    Asked,
    draw_questions,
    generate_questions,
    save_questions,
)
from mcq_jax.training.corpus.course import Course, Lesson, told
from mcq_jax.training.corpus.entropy import Floor, floor_of
from mcq_jax.training.corpus.lessons import DECLARED_FROM, answering_lessons
from mcq_jax.training.corpus.measuring import measure
from mcq_jax.training.corpus.recipe import Arm, CorpusRecipe, Row
from mcq_jax.training.corpus.shape import small_model
from mcq_jax.training.corpus.stream import Corpus
from mcq_jax.training.corpus.vocabulary import TEMPLATE, VOCABULARY, tokenizer
from mcq_jax.training.corpus.world import World, make_world

__all__ = [
    "DECLARED_FROM",
    "TEMPLATE",
    "VOCABULARY",
    "Arm",
    "Asked",
    "Corpus",
    "Course",
    "CorpusRecipe",
    "Floor",
    "Lesson",
    "Row",
    "World",
    "answering_lessons",
    "draw_questions",
    "floor_of",
    "generate_questions",
    "make_world",
    "measure",
    "save_questions",
    "small_model",
    "told",
    "tokenizer",
]
