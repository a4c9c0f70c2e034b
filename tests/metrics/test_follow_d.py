"""Follow-D: values by construction, and the cover of its two-way interval."""

import numpy as np
import pytest

from mcq_jax import metrics

CHOICES = 4


def _rows(questions: int = 24) -> tuple[np.ndarray, ...]:
    """Every base question with one source for each place, drawn among all questions."""
    generator = np.random.default_rng(0)
    base = np.repeat(np.arange(questions), CHOICES)
    pointed = np.tile(np.arange(CHOICES), questions)
    own = np.repeat(np.arange(questions) % CHOICES, CHOICES)
    source = generator.integers(questions, size=len(base))
    return base, source, pointed, own


def test_following_staying_and_the_first_line():
    base, source, pointed, own = _rows()
    value = {}
    chosen = {
        "follows": pointed, "stays": own, "first line": 0 * own,
        "next line": (pointed + 1) % CHOICES,
        "follows to the first two lines": np.where(pointed < 2, pointed, own),
    }  # fmt: skip
    for name, picked in chosen.items():
        found = metrics.follow_d(picked, pointed, base, source, choices=CHOICES)
        value[name] = found.value.mean
        assert found.matrix.sum(axis=1) == pytest.approx(1)
    assert value["follows"] == 1
    assert value["stays"] == pytest.approx(0, abs=1e-12)
    assert value["first line"] == pytest.approx(0, abs=1e-12)
    assert value["next line"] == pytest.approx(-1 / 3)
    # By hand: sources of lines 0 and 1 are followed (6 of 6 each), the others stay, a
    # quarter on each line: 0 and 1 have 1 - (0 + 1/4 + 1/4) / 3, 2 and 3 have
    # 1/4 - (0 + 0 + 1/4) / 3.
    by_hand = (2 * (1 - 1 / 6) + 2 * (1 / 4 - 1 / 12)) / 4
    assert value["follows to the first two lines"] == pytest.approx(by_hand)


def test_too_few_questions_are_said():
    base, source, pointed, own = _rows(8)
    found = metrics.follow_d(own, pointed, base, source, choices=CHOICES)
    assert found.too_few
    base, source, pointed, own = _rows(60)
    assert not metrics.follow_d(own, pointed, base, source, choices=CHOICES).too_few


def test_the_interval_covers_where_both_questions_matter():
    """A base follows with a chance of its own, and so does a source."""
    covered = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        base, source, pointed, own = _rows(40)
        pull = generator.uniform(0, 1, 40)[base] * generator.uniform(0, 1, 40)[source]
        chosen = np.where(generator.uniform(size=len(base)) < pull, pointed, own)
        found = metrics.follow_d(
            chosen, pointed, base, source, choices=CHOICES, resamples=400, seed=seed
        )
        # Mean of the product of two uniform numbers.
        covered += found.value.low <= 0.25 <= found.value.high
    assert covered >= 92
