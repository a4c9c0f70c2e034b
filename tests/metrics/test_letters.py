import numpy as np
import pytest

from mcq_jax import metrics
from tests.metrics import runs

EXACT = 1e-12


def test_selectivity_is_hand_computed_on_two_letters():
    matrix = np.array([[3.0, 1.0], [0.5, 2.0]])
    np.testing.assert_allclose(metrics.selectivity(matrix), ((3 - 0.5) + (2 - 1)) / 2)


def test_selectivity_ignores_a_preference_for_a_letter_and_an_offset_of_all():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(4, 4))
    biased = matrix + generator.normal(size=(1, 4)) + 5
    np.testing.assert_allclose(
        metrics.selectivity(biased), metrics.selectivity(matrix), atol=EXACT
    )


def test_selectivity_of_a_binding_model_is_its_strength():
    run = runs.rotated(6)
    matrix = metrics.gold_by_letter(runs.binding(run, 2.0), run.gold)
    np.testing.assert_allclose(metrics.selectivity(matrix), 2.0, atol=EXACT)


def test_readings_separate_promotion_prior_and_selectivity_per_node():
    run = runs.rotated(5)
    promotes = np.full((20, 4), 3.0)
    prefers = np.tile([1.0, 0.0, 0.0, -1.0], (20, 1))
    binds = runs.binding(run, 2.0) - 0.5
    values = np.stack([promotes, prefers, binds], axis=1)  # [prompt, node, choice]
    found = metrics.readings(metrics.gold_by_answer(values, run.gold))
    np.testing.assert_allclose(found.promotion, [3, 0, 0], atol=EXACT)
    np.testing.assert_allclose(found.selectivity, [0, 0, 2], atol=EXACT)
    expected = [[0, 0, 0, 0], [1, 0, 0, -1], [0, 0, 0, 0]]
    np.testing.assert_allclose(found.letter_prior, expected, atol=EXACT)


def test_a_letter_never_gold_is_nan_in_the_matrix_and_left_out_of_selectivity():
    gold = np.array([0, 1, 1])
    values = np.array([[2.0, 0.0, 9.0], [0.0, 2.0, 9.0], [0.0, 4.0, 9.0]])
    matrix = metrics.gold_by_answer(values, gold)
    assert np.isnan(matrix[2]).all()
    np.testing.assert_allclose(metrics.selectivity(matrix), (2 + 3) / 2)
    assert np.isnan(metrics.selectivity(metrics.gold_by_answer(values, gold * 0)))


def test_selectivity_of_sets_is_that_of_letters_where_one_is_right():
    run = runs.rotated(6)
    logits = np.random.default_rng(0).normal(size=(24, 4))
    one = np.eye(4, dtype=bool)[run.gold]
    expected = metrics.selectivity(metrics.gold_by_answer(logits, run.gold))
    found = metrics.selectivity_of_sets(logits, one)
    np.testing.assert_allclose(found, expected, atol=EXACT)


def test_selectivity_of_sets_is_hand_computed_and_leaves_out_what_never_varies():
    is_right = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1]], bool)
    values = np.array([[3.0, 4, 9, 9], [5, 1, 9, 9], [1, 2, 9, 9]])
    # Letter 0: (3 + 5) / 2 - 1; letter 1: (4 + 2) / 2 - 1; the others never vary.
    assert metrics.selectivity_of_sets(values, is_right) == ((4 - 1) + (3 - 1)) / 2
    assert np.isnan(metrics.selectivity_of_sets(values[:, 2:], is_right[:, 2:]))


def test_a_gold_answer_without_a_column_is_refused():
    with pytest.raises(ValueError, match="0..1 for 2 answers; found 0..3"):
        metrics.gold_by_answer(np.zeros((2, 2)), np.array([0, 3]))


def test_the_letter_prior_is_what_a_biased_binding_model_adds_to_each_letter():
    run = runs.rotated(8)
    bias = np.array([0.5, -0.25, 0.0, -0.25])
    logits = runs.binding(run, 3.0) + bias + 11
    np.testing.assert_allclose(metrics.letter_prior(logits), bias, atol=EXACT)
