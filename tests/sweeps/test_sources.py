"""Sources are what their kind says and never come from the other half."""

import numpy as np
import pytest

from mcq_jax.sweeps.sources import choose_sources

QUESTIONS, CHOICES = 6, 4
QUESTION = np.repeat([f"question {i}" for i in range(QUESTIONS)], CHOICES)
GOLD = np.tile(np.arange(CHOICES), QUESTIONS)
CHOOSING = np.repeat(np.arange(QUESTIONS) < 2, CHOICES)


@pytest.mark.parametrize("seed", range(5))
def test_each_kind_is_what_it_says(seed: int):
    sources = choose_sources(QUESTION, GOLD, CHOOSING, seed=seed)
    assert sources.kinds == ("rotation", "other", "placebo")
    same_question = QUESTION[sources.index] == QUESTION[:, None]
    same_gold = GOLD[sources.index] == GOLD[:, None]
    every = np.ones(len(GOLD), bool)
    for column, (is_same_question, is_same_gold) in enumerate(
        [(True, False), (False, False), (False, True)]
    ):
        np.testing.assert_array_equal(
            same_question[:, column], every * is_same_question
        )
        np.testing.assert_array_equal(same_gold[:, column], every * is_same_gold)


@pytest.mark.parametrize("seed", range(5))
def test_no_source_comes_from_the_other_half(seed: int):
    sources = choose_sources(QUESTION, GOLD, CHOOSING, seed=seed)
    halves = CHOOSING[sources.index]
    np.testing.assert_array_equal(
        halves, np.broadcast_to(CHOOSING[:, None], halves.shape)
    )


def test_sources_are_drawn_by_the_seed():
    first, again, other = (
        choose_sources(QUESTION, GOLD, CHOOSING, seed=seed).index for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_without_rotations_other_questions_lead():
    alone = np.arange(8)
    gold = np.tile(np.arange(2), 4)
    sources = choose_sources(alone, gold, alone < 4, seed=0)
    assert sources.kinds == ("other", "placebo")


def test_a_prompt_without_a_source_is_refused_by_kind():
    alone = np.arange(4)
    with pytest.raises(ValueError, match="4 of 4 prompts .* 'placebo' .* use more"):
        choose_sources(alone, np.arange(4), np.ones(4, bool), seed=0)
