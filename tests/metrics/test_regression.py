"""A line's slope against numpy's, its interval against known noise."""

import numpy as np
import pytest

from mcq_jax import metrics


def _noisy(generator, questions: int, slope: float, noise: float):
    """Four prompts a question that share most of their noise."""
    question = np.repeat(np.arange(questions), 4)
    x = generator.normal(3, 1, questions)[question] + 0.1 * generator.normal(
        size=len(question)
    )
    shared = noise * generator.normal(size=questions)[question]
    return x, 0.5 + slope * x + shared, question


def test_the_line_is_that_of_least_squares():
    x, y, question = _noisy(np.random.default_rng(0), 30, 0.7, 0.3)
    found = metrics.line(x, y, question)
    slope, intercept = np.polyfit(x, y, 1)
    assert found.slope is not None
    assert found.slope.mean == pytest.approx(slope)
    assert found.intercept == pytest.approx(intercept)
    assert found.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert found.slope.questions == 30


@pytest.mark.slow
def test_intervals_cover_the_slope_as_often_as_they_say():
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = metrics.line(*_noisy(generator, 24, 0.7, 0.5), resamples=400)
        assert found.slope is not None
        covered += found.slope.low <= 0.7 <= found.slope.high
    assert covered >= 182  # 91 %: prompts taken for the unit would cover about 75 %


def test_values_that_do_not_differ_have_no_slope():
    question = np.repeat(np.arange(6), 2)
    x = 2 + 1e-7 * np.random.default_rng(0).normal(size=12)
    found = metrics.line(x, np.arange(12.0), question)
    assert found.slope is None and "a slope needs values that differ" in found.refused
