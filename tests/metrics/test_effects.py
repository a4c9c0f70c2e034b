import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import metrics

ROUNDING = 1e-5
LAYERS, NODES, CHOICES = 2, 3, 4


def effects(nodes, sources, patched, patched_normaliser, logits, normaliser, letter):
    return metrics.node_effects(
        nodes,
        sources,
        patched,
        patched_normaliser,
        answer_logits=logits,
        log_normaliser=normaliser,
        gold=jnp.asarray(letter),
    )


def test_every_effect_is_zero_where_the_source_is_the_prompt_itself():
    nodes = jax.random.normal(jax.random.key(0), (LAYERS, NODES, CHOICES))
    logits = jnp.array([2.0, 0.0, 1.0, -1.0])
    found = effects(
        nodes,
        nodes[None],
        jnp.broadcast_to(logits, (1, LAYERS, NODES, CHOICES)),
        jnp.full((1, LAYERS, NODES), 4.0),
        logits,
        jnp.asarray(4.0),
        0,
    )
    for values in jax.tree.leaves(found):
        np.testing.assert_allclose(values, 0.0, atol=1e-6)


def test_effects_of_a_linear_model_are_direct_and_the_node_that_helps_is_positive():
    nodes = jnp.zeros((1, 2, CHOICES)).at[0, 0, 1].set(3.0)
    sources = jnp.zeros((1, 1, 2, CHOICES)).at[0, 0, 0, 2].set(3.0)
    logits = nodes.sum((0, 1))
    patched = logits[None, None, None] - nodes[None] + sources
    normaliser = jax.nn.logsumexp(logits)
    patched_normaliser = jax.nn.logsumexp(patched, axis=-1)
    found = effects(nodes, sources, patched, patched_normaliser, logits, normaliser, 1)
    np.testing.assert_allclose(found.direct[0, 0], [3 + 1, 0], rtol=ROUNDING)
    np.testing.assert_allclose(found.total, found.direct, rtol=ROUNDING)
    np.testing.assert_allclose(found.indirect, 0.0, atol=ROUNDING)
    np.testing.assert_allclose(found.accuracy[0, 0], [1, 0])
    np.testing.assert_allclose(found.loss.total[0, 0], [3, 0], atol=ROUNDING)
    np.testing.assert_allclose(found.loss.outside, 0.0, atol=ROUNDING)
    assert found.kl[0, 0, 0] > 1 and abs(found.kl[0, 0, 1]) < ROUNDING


def test_loss_effect_is_exactly_the_sum_of_its_parts():
    clean = (jnp.array([1.0, 2.0, 0.5]), jnp.asarray(3.0))
    patched = (jnp.array([[0.3, 1.0, 2.0]]), jnp.array([3.5]))
    found = metrics.loss_effect(clean, patched, jnp.asarray(1))
    np.testing.assert_array_equal(found.total, found.outside + found.inside)
    np.testing.assert_allclose(found.total, [(3.5 - 1) - (3 - 2)], rtol=ROUNDING)


def test_a_patch_that_repairs_a_wrong_answer_has_a_negative_accuracy_effect():
    wrong, right = jnp.array([0.0, 1.0]), jnp.array([[1.0, 0.0]])
    assert metrics.accuracy_drop(wrong, right, jnp.asarray(0))[0] == -1


def test_vmap_over_prompts_equals_one_prompt():
    keys = jax.random.split(jax.random.key(5), 2)
    nodes = jax.random.normal(keys[0], (5, LAYERS, NODES, CHOICES))
    sources = jax.random.normal(keys[1], (5, 3, LAYERS, NODES, CHOICES))
    golds = jnp.arange(5) % CHOICES
    batch = jax.vmap(metrics.direct_effect)(nodes, sources, golds)
    one = metrics.direct_effect(nodes[4], sources[4], golds[4])
    np.testing.assert_allclose(batch[4], one, rtol=ROUNDING)
