"""Tests of few pairs: against a library, by hand, and by how often they err."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from mcq_jax.metrics import paired
from mcq_jax.metrics.paired import Verdict

BOUND = 0.58


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 9, 10, 29])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.262, 5.0])
def test_the_finite_sum_is_students_distribution(freedom, t):
    by_library = special.stdtr(freedom, t) - special.stdtr(freedom, -t)
    assert paired.t_inside(t, freedom) == pytest.approx(by_library, abs=1e-12)


def test_t_test_and_interval_are_the_librarys():
    values = np.random.default_rng(0).normal(0.4, 1, 10)
    found: Any = stats.ttest_1samp(values, 0.0)
    assert paired.t_test(values) == pytest.approx(found.pvalue, abs=1e-10)
    for level in (0.9, 0.95, 1 - 0.05 / 3):
        expected = found.confidence_interval(level)
        assert paired.t_interval(values, level) == pytest.approx(tuple(expected))


def test_all_sign_flips_of_three_pairs_by_hand():
    # Of eight flips of 1, 2, 4 those with a sum as far from 0: ±7.
    assert paired.sign_flips(np.array([1.0, 2.0, 4.0])) == pytest.approx(2 / 8)
    # ±7 of -1, 2, 4 is further than its own 5: +++, -++ and their opposites.
    assert paired.sign_flips(np.array([-1.0, 2.0, 4.0])) == pytest.approx(4 / 8)
    assert paired.sign_flips(np.zeros(5)) == 1.0


def test_holm_orders_tests_and_adjusts_them_together():
    spread = np.linspace(-1, 1, 10)
    d = {"a": spread + 2, "b": spread + 0.3, "c": spread + 0.8}
    found = paired.decide(d, dict.fromkeys(d, BOUND))
    p = {name: paired.t_test(values) for name, values in d.items()}
    assert p["a"] < p["c"] < p["b"]
    assert found["a"].t_p == pytest.approx(3 * p["a"])
    assert found["c"].t_p == pytest.approx(max(2 * p["c"], 3 * p["a"]))
    assert found["b"].t_p == pytest.approx(max(p["b"], 2 * p["c"]))
    assert [found[n].level for n in "acb"] == pytest.approx(
        [1 - 0.05 / 3, 1 - 0.05 / 2, 0.95]
    )
    low, high = paired.t_interval(d["c"], 0.975)
    assert (found["c"].low, found["c"].high) == (low, high)


def _verdicts(mean: float, deviation: float, *, pairs: int = 10, studies: int = 100):
    generator = np.random.default_rng(1)
    said = []
    for _ in range(studies):
        d = {n: generator.normal(mean, deviation, pairs) for n in ("O1", "O2", "arms")}
        found = paired.decide(d, dict.fromkeys(d, BOUND))
        said += [test.verdict for test in found.values()]
    return {verdict: said.count(verdict) / len(said) for verdict in Verdict}


def test_a_null_path_is_no_change():
    """Seeds that jitter by a fifth of the bound."""
    assert _verdicts(0.0, 0.2 * BOUND)[Verdict.NO_CHANGE] >= 0.95


@pytest.mark.slow
def test_changes_are_found_in_their_direction_only():
    down, up = _verdicts(-2 * BOUND, 0.3), _verdicts(2 * BOUND, 0.3)
    assert down[Verdict.CLEANER] >= 0.95 and down[Verdict.MESSIER] == 0
    assert up[Verdict.MESSIER] >= 0.95 and up[Verdict.CLEANER] == 0


@pytest.mark.slow
def test_a_change_as_large_as_the_bound_is_seldom_called_larger():
    """The error rate of the verdict, at the edge of what counts."""
    said = _verdicts(-BOUND, 0.4)
    assert said[Verdict.CLEANER] <= 0.05
    assert said[Verdict.NO_CHANGE] <= 0.05


@pytest.mark.slow
def test_large_jitter_leaves_it_open():
    assert _verdicts(0.0, 5 * BOUND)[Verdict.UNDECIDED] >= 0.95


def test_fewer_than_eight_pairs_have_no_verdict():
    d = {"O1": np.full(7, -3.0) + np.linspace(0, 0.1, 7)}
    found = paired.decide(d, {"O1": BOUND})
    assert found["O1"].verdict is Verdict.INFEASIBLE


def test_a_single_pair_says_nothing():
    assert paired.t_interval(np.array([1.0]), 0.95) == (-math.inf, math.inf)
    assert paired.t_test(np.array([1.0])) == pytest.approx(1.0)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="1 to 20"):
        paired.sign_flips(np.zeros(21))
    with pytest.raises(ValueError, match="both"):
        paired.decide({"O1": np.zeros(9)}, {"O2": 0.1})
