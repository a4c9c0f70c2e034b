import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import metrics

ROUNDING = 1e-5


def gold(letter: int) -> jax.Array:
    return jnp.asarray(letter)


def random_prompt(seed: int = 0):
    vocabulary = 3 * jax.random.normal(jax.random.key(seed), (50,))
    return vocabulary[:4], jax.nn.logsumexp(vocabulary), jax.nn.log_softmax(vocabulary)


def test_net_is_the_gold_logit_minus_the_mean_of_the_other_answers():
    logits = jnp.array([1.0, 5.0, 2.0, 3.0])
    np.testing.assert_allclose(metrics.net(logits, gold(1)), 5 - (1 + 2 + 3) / 3)
    two = metrics.net(jnp.array([1.0, 4.0]), gold(0))
    np.testing.assert_allclose(two, -3, rtol=ROUNDING)


def test_net_of_a_sum_is_the_sum_of_nets():
    first, second = jax.random.normal(jax.random.key(1), (2, 3, 5))
    together = metrics.net(first + second, gold(2))
    apart = metrics.net(first, gold(2)) + metrics.net(second, gold(2))
    np.testing.assert_allclose(together, apart, atol=ROUNDING)


def test_net_keeps_its_digits_under_a_large_common_offset():
    logits = jnp.array([0.25, 0.5, 0.0, 1.0])
    moved = metrics.net(logits + 1024, gold(3))
    np.testing.assert_allclose(moved, metrics.net(logits, gold(3)), atol=ROUNDING)


def test_net_of_a_set_is_the_right_ones_mean_minus_that_of_the_others():
    logits = jnp.array([1.0, 5.0, 2.0, 3.0])
    found = metrics.net_of_set(logits, jnp.array([False, True, False, True]))
    np.testing.assert_allclose(found, (5 + 3) / 2 - (1 + 2) / 2, rtol=1e-6)
    one = metrics.net_of_set(logits[None], jnp.arange(4) == 1)
    np.testing.assert_allclose(one, metrics.net(logits[None], gold(1)), rtol=1e-6)


def test_net_of_a_single_answer_is_refused():
    with pytest.raises(ValueError, match="at least 2 answers; found 1"):
        metrics.net(jnp.zeros(1), gold(0))


def test_loss_is_exactly_the_sum_of_its_parts_and_minus_the_log_probability():
    logits, log_normaliser, log_probability = random_prompt()
    parts = metrics.loss_parts(logits, log_normaliser, gold(2))
    assert parts.total == parts.outside + parts.inside
    np.testing.assert_allclose(parts.total, -log_probability[2], rtol=ROUNDING)
    within = jax.nn.log_softmax(logits)[2]
    np.testing.assert_allclose(parts.inside, -within, rtol=ROUNDING)


def test_answer_mass_is_the_probability_of_all_answers_together():
    logits, log_normaliser, log_probability = random_prompt()
    mass = metrics.answer_mass(logits, log_normaliser)
    expected = jnp.exp(log_probability[:4]).sum()
    np.testing.assert_allclose(mass, expected, rtol=ROUNDING)
    parts = metrics.loss_parts(logits, log_normaliser, gold(0))
    np.testing.assert_allclose(parts.outside, -jnp.log(mass), rtol=ROUNDING)


def test_kl_is_zero_for_the_same_answers_and_hand_computed_for_others():
    logits = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(metrics.kl(logits, logits + 7), 0.0, atol=ROUNDING)
    clean = jnp.log(jnp.array([0.5, 0.5]))
    patched = jnp.log(jnp.array([[0.25, 0.75]]))
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    np.testing.assert_allclose(metrics.kl(clean, patched), [expected], rtol=ROUNDING)


def test_a_tie_is_no_right_answer():
    assert metrics.is_correct(jnp.array([1.0, 0.5]), gold(0))
    assert not metrics.is_correct(jnp.array([1.0, 1.0]), gold(0))
    assert not metrics.is_correct(jnp.array([jnp.nan, 0.0]), gold(0))


def test_metrics_of_half_precision_logits_are_computed_in_float32():
    logits = jnp.array([1.0, 2.0, 4.0], jnp.bfloat16)
    assert metrics.net(logits, gold(0)).dtype == jnp.float32
    assert metrics.kl(logits, logits).dtype == jnp.float32
    parts = metrics.loss_parts(logits, jnp.asarray(5.0, jnp.bfloat16), gold(0))
    assert parts.total.dtype == jnp.float32


def test_vmap_over_prompts_equals_a_loop_over_them():
    logits = jax.random.normal(jax.random.key(3), (6, 4))
    normaliser = jnp.full(6, 5.0)
    golds = jnp.arange(6) % 4
    batch = jax.vmap(metrics.loss_parts)(logits, normaliser, golds)
    for row in range(6):
        one = metrics.loss_parts(logits[row], normaliser[row], golds[row])
        np.testing.assert_allclose(batch.inside[row], one.inside, rtol=ROUNDING)
