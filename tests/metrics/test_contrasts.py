"""Paired differences: by hand, narrower than unpaired ones; shared questions only."""

import numpy as np
import pytest

from mcq_jax.metrics import Ratio, paired_difference, statistics


def _answers(questions: int = 40, prompts: int = 3, *, seed: int = 0):
    """Two conditions of one difficulty per question, 0.25 apart."""
    random = np.random.default_rng(seed)
    question = np.repeat(np.arange(questions), prompts)
    hard = random.normal(scale=3, size=questions)[question]
    first, second = hard + 0.1 * random.normal(size=(2, len(question)))
    return first + 0.25, second, question


def test_what_makes_a_question_hard_in_both_cancels():
    first, second, question = _answers()
    found = paired_difference(Ratio.mean(first, question), Ratio.mean(second, question))
    assert found.mean == pytest.approx(first.mean() - second.mean())
    expected = statistics.interval(first - second, question)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    alone = statistics.interval(first, question)
    assert found.high - found.low < 0.1 * (alone.high - alone.low)


def test_ratios_are_those_of_sums_over_shared_questions_in_any_order():
    first, second, question = _answers()
    first, second = first + 9, second + 12
    here = question < 25  # the others were asked in one condition alone
    order = np.random.default_rng(1).permutation(here.sum())
    found = paired_difference(
        [
            Ratio(
                numerator=(2 * first)[here][order],
                denominator=second[here][order],
                question=question[here][order],
            ),
            Ratio(numerator=second, denominator=second, question=question),
        ],
        Ratio(numerator=first, denominator=second, question=question),
    )
    ratio = first[here].sum() / second[here].sum()
    assert found.questions == 25
    assert found.mean == pytest.approx((2 * ratio + 1) / 2 - ratio)


def test_intervals_cover_the_difference_that_there_is():
    covered = []
    for seed in range(200):
        first, second, question = _answers(20, seed=seed)
        found = paired_difference(
            Ratio.mean(first, question), Ratio.mean(second, question),
            resamples=400, seed=seed,
        )  # fmt: skip
        covered.append(found.low < 0.25 < found.high)
    assert 0.9 < np.mean(covered) < 1


def test_other_questions_cannot_be_paired():
    first, second, question = _answers()
    with pytest.raises(ValueError, match="no question in common"):
        paired_difference(
            Ratio.mean(first, question), Ratio.mean(second, question + 99)
        )
