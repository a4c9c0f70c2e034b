"""Planted circuits: models whose multiple-choice circuit is known, node by node."""

from mcq_jax.planted.asking import TEMPLATE, facts, generate_questions
from mcq_jax.planted.described import Content, Described, plant_described
from mcq_jax.planted.ideal import Facts
from mcq_jax.planted.noisy import plant_noisy
from mcq_jax.planted.parts import Clues, Fate, Part
from mcq_jax.planted.recipe import Planted, Variant, plant
from mcq_jax.planted.story import Agreement
from mcq_jax.planted.truth import Effect, Truth
from mcq_jax.planted.ways import plant_line_ends, plant_past_queries

__all__ = [
    "TEMPLATE",
    "Agreement",
    "Content",
    "Described",
    "Clues",
    "Effect",
    "Facts",
    "Fate",
    "Part",
    "Planted",
    "Truth",
    "Variant",
    "facts",
    "generate_questions",
    "plant",
    "plant_line_ends",
    "plant_noisy",
    "plant_past_queries",
    "plant_described",
]
