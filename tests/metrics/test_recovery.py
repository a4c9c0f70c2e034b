import numpy as np
import pytest

from mcq_jax import metrics

QUESTION = np.repeat(np.arange(12), 4)


def outcomes(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    clean = 2 + generator.normal(size=48)
    return clean, -1 + generator.normal(size=48)


def test_a_patch_that_restores_the_clean_run_recovers_exactly_one():
    clean, source = outcomes()
    for found in (
        metrics.sufficiency(clean, source, clean, QUESTION),
        metrics.necessity(clean, source, source, QUESTION),
    ):
        assert found.ratio is not None
        assert (found.ratio.mean, found.ratio.low, found.ratio.high) == (1, 1, 1)


def test_a_patch_that_does_nothing_recovers_nothing():
    clean, source = outcomes()
    for found in (
        metrics.sufficiency(clean, source, source, QUESTION),
        metrics.necessity(clean, source, clean, QUESTION),
    ):
        assert found.ratio is not None and found.ratio.mean == 0


def test_recovery_is_a_ratio_of_means():
    clean, source = np.array([4.0, 1.0]), np.array([0.0, 0.9])
    patched = np.array([2.0, 1.9])
    found = metrics.sufficiency(clean, source, patched, np.arange(2))
    assert found.difference.mean == pytest.approx(2.05)
    assert found.ratio is not None  # a mean of ratios would be 5.25
    assert found.ratio.mean == pytest.approx((2 + 1) / (4 + 0.1))


def test_recovery_is_refused_where_there_is_nothing_to_recover():
    generator = np.random.default_rng(1)
    clean, source = generator.normal(size=(2, 48))
    found = metrics.sufficiency(clean, source, clean, QUESTION)
    assert found.ratio is None and "includes 0" in found.refused
    assert "12 questions" in found.refused
    single = metrics.sufficiency(clean + 9, source, clean, QUESTION * 0)
    assert single.ratio is None


def test_recovery_of_a_loss_that_is_lower_on_the_clean_prompt_is_not_refused():
    clean, source = outcomes()
    found = metrics.sufficiency(-clean, -source, -clean, QUESTION)
    assert found.ratio is not None and found.ratio.mean == 1
