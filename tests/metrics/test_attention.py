import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import metrics

ROUNDING = 1e-5


def test_norms_are_the_lengths_of_what_each_value_writes():
    values = jax.random.normal(jax.random.key(0), (5, 2, 3))
    weights = jax.random.normal(jax.random.key(1), (2, 4, 3, 7))
    written = jnp.einsum("jkd,kgdw->kgjw", values, weights)
    np.testing.assert_allclose(
        metrics.value_output_norms(values, weights),
        jnp.linalg.norm(written, axis=-1),
        rtol=1e-4,
    )


def test_a_key_that_writes_nothing_gets_no_share():
    pattern = jnp.array([[[0.9, 0.05, 0.05]]])
    norms = jnp.array([[[0.0, 1.0, 3.0]]])
    shares = metrics.value_weighted_attention(pattern, norms)
    np.testing.assert_allclose(shares, [[[0.0, 0.25, 0.75]]], rtol=ROUNDING)
    silent = metrics.value_weighted_attention(pattern, jnp.zeros((1, 1, 3)))
    np.testing.assert_array_equal(silent, jnp.zeros((1, 1, 3)))


def test_shares_by_label_class_and_option_are_sums_over_the_right_keys():
    shares = jnp.array([[[0.1, 0.2, 0.3, 0.25, 0.15]]])
    labels = metrics.share_on_labels(shares, jnp.array([1, 3]))
    np.testing.assert_allclose(labels, [[[0.2, 0.25]]], rtol=ROUNDING)
    by_class = metrics.share_by_class(shares, jnp.array([0, 1, 2, 1, -1]), classes=4)
    np.testing.assert_allclose(by_class, [[[0.1, 0.45, 0.3, 0.0]]], rtol=ROUNDING)
    by_option = metrics.share_by_option(
        shares,
        jnp.array([-1, 0, 0, 1, 1]),
        jnp.array([True, False, True, False, True]),
        choices=2,
    )
    np.testing.assert_allclose(by_option, [[[0.3, 0.15]]], rtol=ROUNDING)


def test_key_classes_may_be_traced():
    @jax.jit
    def summed(shares, classes):
        return metrics.share_by_class(shares, classes, classes=2)

    found = summed(jnp.full((1, 1, 4), 0.25), jnp.array([0, 1, 1, 1]))
    np.testing.assert_allclose(found, [[[0.25, 0.75]]], rtol=ROUNDING)
