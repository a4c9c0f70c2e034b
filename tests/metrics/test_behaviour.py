import numpy as np
import pytest

from mcq_jax import metrics
from tests.metrics import runs

EXACT = 1e-12


def measured(run: runs.Run, logits: np.ndarray) -> metrics.Behaviour:
    normaliser = np.log(np.exp(logits).sum(axis=1) + 1.0)
    return metrics.measure_behaviour(
        logits, normaliser, run.gold, run.question, run.rotation
    )


def test_a_binding_model_is_right_in_every_reading():
    run = runs.rotated(10)
    found = measured(run, runs.binding(run, 4.0))
    for accuracy in (
        found.raw_accuracy,
        found.prior_corrected_accuracy,
        found.consistent_accuracy,
        found.kept_share,
    ):
        assert (accuracy.mean, accuracy.low, accuracy.high) == (1, 1, 1)
    assert found.net.mean == pytest.approx(4.0)
    np.testing.assert_array_equal(found.accuracy_by_gold_letter, np.ones(4))
    assert (found.n_questions, found.n_prompts) == (10, 40)


def test_a_model_that_always_says_a_is_at_chance_and_never_consistent():
    run = runs.rotated(10)
    found = measured(run, np.tile([5.0, 0.0, 0.0, 0.0], (40, 1)))
    assert found.raw_accuracy.mean == 0.25
    assert found.consistent_accuracy.mean == 0
    assert found.prior_corrected_accuracy.mean == 0  # all tied: no answer left
    np.testing.assert_array_equal(found.accuracy_by_gold_letter, [1, 0, 0, 0])
    np.testing.assert_array_equal(found.share_by_letter, [1, 0, 0, 0])
    np.testing.assert_array_equal(found.share_by_content, np.full(4, 0.25))


def test_subtracting_the_letter_prior_uncovers_a_binding_model_under_a_bias():
    run = runs.rotated(10)
    found = measured(run, runs.binding(run, 1.0) + np.array([3.0, 0.0, 0.0, 0.0]))
    assert found.raw_accuracy.mean == 0.25
    assert found.prior_corrected_accuracy.mean == 1
    assert found.kept_share.mean == 1


def test_a_model_that_follows_the_first_content_is_seen_by_content_not_by_letter():
    run = runs.rotated(12)
    found = measured(run, 2.0 * np.eye(4)[run.rotation])
    np.testing.assert_array_equal(found.share_by_content, [1, 0, 0, 0])
    np.testing.assert_array_equal(found.share_by_letter, np.full(4, 0.25))
    np.testing.assert_array_equal(found.accuracy_by_gold_content[1:], np.zeros(3))
    assert found.consistent_accuracy.mean == found.raw_accuracy.mean


def test_the_loss_is_the_sum_of_its_parts_and_the_mass_is_hand_computed():
    run = runs.rotated(3)
    found = measured(run, np.zeros((12, 4)))
    assert found.answer_mass.mean == pytest.approx(4 / 5)
    assert found.loss_inside.mean == pytest.approx(np.log(4))
    assert found.loss.mean == pytest.approx(np.log(5))
    parts = found.loss_outside.mean + found.loss_inside.mean
    assert found.loss.mean == pytest.approx(parts, abs=EXACT)


def test_a_question_is_kept_only_if_every_rotation_is_right():
    run = runs.rotated(4)
    logits = runs.binding(run, 2.0)
    logits[5] = 2.0 * np.eye(4)[(run.gold[5] + 1) % 4]  # one rotation of question 1
    kept = metrics.kept_questions(logits, run.gold, run.question)
    assert kept.tolist() == ["question 0000", "question 0002", "question 0003"]


def test_predictions_differ_where_the_letter_prior_decides():
    run = runs.rotated(6)
    logits = runs.binding(run, 1.0) + np.array([3.0, 0.0, 0.0, 0.0])
    assert (metrics.predictions(logits, without_prior=False) == 0).all()
    corrected = metrics.predictions(logits, without_prior=True)
    np.testing.assert_array_equal(corrected, run.gold)


def test_one_prompt_per_question_is_enough():
    gold = np.array([0, 1, 2, 3, 0])
    logits = 2.0 * np.eye(4)[gold]
    found = metrics.measure_behaviour(
        logits, np.full(5, 4.0), gold, np.arange(5), np.zeros(5, int)
    )
    assert found.consistent_accuracy.mean == found.raw_accuracy.mean == 1
