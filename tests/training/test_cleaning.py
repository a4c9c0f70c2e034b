"""Events and outcomes of the study, on curves and paths whose answers are known."""

import numpy as np
import pytest

from mcq_jax.metrics import paired
from mcq_jax.metrics.paired import Verdict
from mcq_jax.training.cleaning import events, outcomes, planted_outcomes

STEPS = np.array([1, 100, 200, 400, 800, 1600, 3200, 6400])


def test_learned_is_the_first_of_two_checkpoints_at_the_ceiling():
    found = events.step_learned(
        STEPS, np.array([0.2, 0.3, 0.995, 0.6, 0.97, 0.99, 0.992, 1.0])
    )
    assert found == 1600  # not 200, which was alone
    assert events.step_learned(STEPS, np.full(8, 0.98)) is None
    at_ceiling = np.full(8, 0.95)
    assert events.step_learned(STEPS, at_ceiling, ceiling=0.955) == 1


def test_flat_is_where_two_doublings_in_a_row_change_little():
    # Halves with each doubling up to 800; then 4 % less with each.
    excess = np.array([8, 4, 2, 1, 0.5, 0.48, 0.4608, 0.442368])
    assert events.step_flat(STEPS, excess) == 3200
    # A power law 1 / t never is.
    assert events.step_flat(STEPS, 1 / STEPS) is None
    # One small fall alone, between two others, is no plateau.
    assert events.step_flat(STEPS, np.array([8, 4, 2, 1.99, 1, 0.5, 0.2, 0.1])) is None


def test_a_plateau_before_the_task_was_learned_is_none():
    excess = np.array([1, 1, 1, 1, 0.1, 0.099, 0.098, 0.0975])
    assert events.step_flat(STEPS, excess) == 100
    assert events.step_flat(STEPS, excess, behind=800) == 3200
    assert events.step_flat(STEPS, excess, behind=None) is None


def test_losses_are_averaged_behind_each_step():
    losses = [(step, float(step)) for step in range(1, 101)]
    found = events.smoothed(losses, np.array([4, 100]))
    assert found.tolist() == [4.0, np.mean(np.arange(76, 101))]


def test_the_number_of_nodes_is_read_between_two_sizes():
    def found(recovery, sizes=(1, 2, 3)):
        return outcomes.log_nodes(np.array(sizes), np.array(recovery))

    assert found([0.4, 0.7, 0.9]) == pytest.approx(np.log2(2.5))
    assert found([0.4, 0.7, 0.9], (2, 4, 8)) == pytest.approx(np.log2(6))
    assert found([0.2, 0.8, 0.8]) == pytest.approx(1.0)
    assert found([0.95, 1.0, 1.0]) == 0.0  # one node, not less
    assert found([0.3, 0.5, 0.79]) is None


def test_place_then_letter_is_clean_and_both_at_once_is_not():
    assert outcomes.overlap(np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1])) == 0.0
    assert outcomes.overlap(np.ones(4), np.ones(4)) == 1.0
    assert outcomes.overlap(np.array([0.5, 0]), np.array([0.25, 0.5])) == 0.25
    assert outcomes.overlap(np.array([-0.1, 1.0]), np.zeros(2)) == 0.0
    assert outcomes.overlap(np.zeros(3), np.full(3, -0.01)) is None


def _study(seed: int, first: float, last: float) -> list[Verdict]:
    """The verdicts on O1 and O2 of ten seeds, between two stages of a path."""
    generator = np.random.default_rng(seed)
    pairs = np.array(
        [
            np.subtract(
                planted_outcomes(last, generator), planted_outcomes(first, generator)
            )
            for _ in range(10)
        ]
    )
    found = paired.decide(
        {"O1": pairs[:, 0], "O2": pairs[:, 1]}, {"O1": 0.58, "O2": 0.15}
    )
    return [test.verdict for test in found.values()]


def test_a_cleaning_path_falls_in_both_outcomes_step_by_step():
    generator = np.random.default_rng(0)
    means = np.array(
        [
            np.mean([planted_outcomes(stage, generator) for _ in range(20)], axis=0)
            for stage in np.linspace(0, 1, 10)
        ]
    )
    assert (np.diff(means, axis=0) < 0).all()


def test_a_planted_cleaning_is_called_cleaner_and_its_reverse_messier():
    for seed in range(20):
        assert _study(seed, 0.0, 1.0) == [Verdict.CLEANER] * 2
        assert _study(seed, 1.0, 0.0) == [Verdict.MESSIER] * 2


@pytest.mark.few
@pytest.mark.parametrize("stage", [0.0, 0.5, 1.0])
def test_a_null_path_is_called_no_change_in_95_of_100_studies(stage):
    said = [verdict for seed in range(100) for verdict in _study(seed, stage, stage)]
    assert said.count(Verdict.NO_CHANGE) >= 0.95 * len(said)
