import numpy as np
import pytest

from mcq_jax import metrics


def clustered(questions: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values around 1 with one shared part per question of four prompts."""
    generator = np.random.default_rng(seed)
    shared = np.repeat(generator.normal(size=questions), 4)
    values = 1 + shared + 0.3 * generator.normal(size=4 * questions)
    return values, np.repeat(np.arange(questions), 4)


@pytest.mark.few
@pytest.mark.parametrize("questions", [8, 40])
def test_the_interval_covers_the_truth_about_95_times_in_100(questions):
    covered = 0
    for seed in range(300):
        values, question = clustered(questions, seed)
        found = metrics.interval(values, question, resamples=400, seed=seed)
        covered += found.low <= 1 <= found.high
    assert 0.915 <= covered / 300 <= 0.985


def test_counting_prompts_instead_of_questions_gives_half_the_width():
    values, question = clustered(60, 0)
    by_question = metrics.interval(values, question)
    by_prompt = metrics.interval(values, np.arange(240))
    assert by_question.mean == pytest.approx(by_prompt.mean)
    width = by_question.high - by_question.low
    assert by_prompt.high - by_prompt.low < 0.6 * width
    assert (by_question.questions, by_prompt.questions) == (60, 240)


def test_the_standard_error_is_that_of_the_question_means():
    values, question = clustered(200, 1)
    expected = values.reshape(200, 4).mean(axis=1).std(ddof=1) / np.sqrt(200)
    found = metrics.intervals(values, question)
    assert found.standard_error == pytest.approx(expected, rel=0.1)


def test_intervals_over_nodes_equal_one_interval_per_node():
    values, question = clustered(15, 2)
    table = np.stack([values, -values, values**2], axis=1).reshape(60, 3, 1)
    found = metrics.intervals(table, question, resamples=200, seed=3)
    for node in range(3):
        one = metrics.interval(table[:, node, 0], question, resamples=200, seed=3)
        assert found.low[node, 0] == pytest.approx(one.low)
        assert found.mean[node, 0] == pytest.approx(one.mean)


def test_a_ratio_is_of_means_and_exact_where_both_sides_are_equal():
    question = np.array(["a", "a", "b", "c"])
    top, bottom = np.array([1.0, 2, 3, 4]), np.array([2.0, 2, 4, 12])
    assert metrics.ratio_interval(top, bottom, question).mean == 10 / 20
    same = metrics.ratio_interval(bottom, bottom, question)
    assert (same.mean, same.low, same.high) == (1, 1, 1)


def test_questions_need_neither_order_nor_equal_numbers_of_prompts():
    sums, counts = metrics.question_sums(
        np.array([1.0, 10, 2, 20, 3]), np.array(["b", "a", "b", "a", "b"])
    )
    np.testing.assert_array_equal(sums, [30, 6])
    np.testing.assert_array_equal(counts, [2, 3])


def test_one_question_says_nothing_about_others():
    found = metrics.interval(np.array([3.0, 5.0]), np.zeros(2, int))
    assert (found.mean, found.low, found.high) == (4, -np.inf, np.inf)
    assert not found.excludes_zero()


def test_rounding_errors_of_one_sign_are_no_effect():
    question = np.arange(20)
    small = np.linspace(1e-7, 5e-6, 20)
    for sign in (1, -1):
        assert metrics.interval(sign * 1e4 * small, question).excludes_zero()
        found = metrics.interval(sign * small, question)
        assert sign * found.mean > 0 and not found.excludes_zero()


def test_missing_values_are_refused_by_number():
    with pytest.raises(ValueError, match="found 2 prompts, 1 of them with NaN"):
        metrics.interval(np.array([1.0, np.nan]), np.arange(2))
    with pytest.raises(ValueError, match="found 0 prompts"):
        metrics.interval(np.zeros(0), np.zeros(0, int))
