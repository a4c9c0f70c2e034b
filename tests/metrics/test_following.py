"""Which heads follow a letter: errors over all heads, and a head that does."""

import numpy as np
import pytest

from mcq_jax import metrics

QUESTIONS, CHOICES, HEADS = 10, 4, 6


def _drawn(seed: int, *, effect: float = 0.0) -> tuple[np.ndarray, ...]:
    """Label attention of rotated questions; head 2 of layer 0 follows B by `effect`.

    Every head has a letter prior, and prefers one option of a question wherever it
    stands: neither has to do with which option is right.
    """
    generator = np.random.default_rng(seed)
    question = np.repeat(np.arange(QUESTIONS), CHOICES)
    gold = np.tile(np.arange(CHOICES), QUESTIONS)
    prior = generator.uniform(0.05, 0.2, (1, HEADS, CHOICES))
    liked = generator.integers(CHOICES, size=(QUESTIONS, HEADS))
    place = (liked[question] + gold[:, None]) % CHOICES
    attention = prior + 0.1 * (place[..., None] == np.arange(CHOICES))
    attention = attention * generator.uniform(0.8, 1.2, attention.shape)
    attention[gold == 1, 2, 1] += effect
    return attention[:, None], gold, question


@pytest.mark.slow
def test_of_heads_that_follow_nothing_few_are_named():
    named = 0
    for seed in range(100):
        found = metrics.following(*_drawn(seed), permutations=99, seed=seed)
        named += (found.p_value < 0.05).any()
    # 5 % of 100 data sets, and three standard deviations.
    assert named <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)


def test_a_head_that_looks_at_b_if_it_is_right_is_named_for_b_alone():
    found = metrics.following(*_drawn(0, effect=0.6), permutations=200)
    assert (np.argwhere(found.p_value < 0.05) == [[0, 2, 1]]).all()
    assert (found.p_value < 0.05).sum() == 1
    assert found.follows[0, 2, 1] > found.threshold > 0


def test_s_is_that_of_the_head_classes():
    attention, gold, question = _drawn(3)
    found = metrics.following(attention, gold, question, permutations=20)
    evidence = metrics.head_evidence(
        attention, gold, total_difference=1.0,
        ov_margin=np.zeros((1, HEADS)), direct_effect=np.zeros((1, HEADS)),
    )  # fmt: skip
    np.testing.assert_allclose(found.follows, evidence.follows, atol=1e-12)


def test_heads_that_hardly_look_at_labels_are_not_tested():
    attention, gold, question = _drawn(0, effect=0.6)
    attention[:, 0, 2] *= 0.1
    found = metrics.following(attention, gold, question, permutations=50)
    assert not found.tested[0, 2] and (found.p_value[0, 2] == 1).all()


def test_unequal_questions_are_refused():
    attention, gold, question = _drawn(0)
    with pytest.raises(ValueError, match="every rotation"):
        metrics.following(attention[1:], gold[1:], question[1:])
