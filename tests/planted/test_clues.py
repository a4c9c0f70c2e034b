"""Correct-letter heads by other clues: rank, content, and weights of several."""

import numpy as np
import pytest

from mcq_jax.planted import Clues, plant
from mcq_jax.prompts import rotations
from tests.planted.asked import ROWS, ask

TOLERANCE = 5e-5
CLUES = {
    "rank": Clues(rank=1.0),
    "content": Clues(content=1.0),
    "weights": Clues(place=0.5, letter=0.2, content=0.3),
    "letter, of a place": Clues(place=0.4, letter=0.6),
}


@pytest.mark.parametrize("clues", CLUES.values(), ids=CLUES)
@pytest.mark.parametrize("has_more", [False, True])
def test_models_of_any_clues_answer_as_the_arithmetic_says(clues, has_more):
    planted = plant(3, clues=clues, has_shadow=has_more, has_flag=has_more, layers=8)
    generator = np.random.default_rng(0)
    asked = ask(
        planted,
        [r for q in planted.questions(ROWS // 4) for r in rotations(q)],
        labels=[list(generator.permutation(list("ABCD"))) for _ in range(ROWS)],
    )
    logits = asked.logits()
    np.testing.assert_array_equal(logits.argmax(-1), asked.gold)
    expected = np.stack([planted.truth.answer_logits(f) for f in asked.facts])
    atol = TOLERANCE * np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, atol=atol, rtol=0)


def test_a_rank_is_that_of_the_letter_in_any_alphabet():
    planted = plant(3, clues=Clues(rank=1.0), layers=8)
    asked = ask(
        planted,
        [r for q in planted.questions(ROWS // 4) for r in rotations(q)],
        labels=[list("EFGH")] * ROWS,
    )
    np.testing.assert_array_equal(asked.logits().argmax(-1), asked.gold)


def test_the_shadow_stands_before_the_gatherers():
    for seed in range(5):
        truth = plant(seed, has_shadow=True, layers=8).truth
        [shadow] = truth.playing("shadow head")
        assert shadow.layer < min(n.layer for n in truth.playing("content gatherer"))
        assert shadow in truth.inert
