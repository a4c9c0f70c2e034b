import numpy as np
import pytest

from mcq_jax import metrics


def names(number: int) -> np.ndarray:
    return np.array([f"question {index}" for index in range(number)])


def test_all_rotations_of_a_question_are_on_one_side():
    question = np.tile(names(50), 4)
    side = metrics.split_by_question(question, fraction=0.5).reshape(4, 50)
    assert (side == side[0]).all()
    assert side[0].sum() == 25


def test_the_side_of_a_question_does_not_depend_on_the_order():
    few = metrics.split_by_question(names(40), fraction=0.5, seed=3)
    backwards = metrics.split_by_question(names(40)[::-1], fraction=0.5, seed=3)
    np.testing.assert_array_equal(few, backwards[::-1])


def test_seed_and_fraction_decide_the_split():
    first = metrics.split_by_question(names(1000), fraction=0.3, seed=0)
    second = metrics.split_by_question(names(1000), fraction=0.3, seed=1)
    assert first.sum() == second.sum() == 300
    assert (first != second).any()


def test_a_known_question_stays_on_its_side_across_releases():
    side = metrics.split_by_question(names(8), fraction=0.5, seed=0)
    first_eight = [False, False, True, True, True, True, False, False]
    assert side.tolist() == first_eight


def test_a_split_with_an_empty_side_is_refused():
    with pytest.raises(ValueError, match="1 subjects at 0.5 .* leaves one side empty"):
        metrics.split_by_subject(np.array(["law", "law"]), fraction=0.5)
    with pytest.raises(ValueError, match="between 0 and 1; found 1.5"):
        metrics.split_by_question(names(9), fraction=1.5)
