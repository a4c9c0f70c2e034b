"""The loss is that of the plain forward pass, whatever is recomputed or chunked."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.model import Norm, forward
from mcq_jax.training import initialise, next_token_loss, token_losses
from mcq_jax.training.losses import as_computed
from tests.training.small import CONFIG, Counting

CAPPED = dataclasses.replace(CONFIG, tied=False, logit_cap=2.0, norm=Norm.LAYER)
BATCH = Counting().batch(0)


def _plain(parameters, config):
    """Log-softmax of whole logits, in numpy."""
    logits = np.asarray(forward(parameters, BATCH.ids, config=config).logits, float)
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    targets = np.asarray(BATCH.ids)[:, 1:, None]
    of_target = np.take_along_axis(logs[:, :-1], targets, -1)[..., 0]
    weights = BATCH.weights[:, 1:]
    return -of_target, -(weights * of_target).sum() / weights.sum()


@pytest.mark.few
@pytest.mark.parametrize("config", [CONFIG, CAPPED], ids=["tied", "capped"])
@pytest.mark.parametrize("chunk", [None, 1, 5, 13, 100])
def test_a_loss_is_that_of_the_logits(config, chunk: int | None):
    parameters = initialise(config, jax.random.key(0))
    each, mean = _plain(parameters, config)
    losses = token_losses(parameters, BATCH.ids, config=config, vocabulary_chunk=chunk)
    np.testing.assert_allclose(losses[:, 1:], each, rtol=2e-6)
    np.testing.assert_array_equal(losses[:, 0], 0)
    loss = next_token_loss(parameters, BATCH, config=config, vocabulary_chunk=chunk)
    np.testing.assert_allclose(loss, mean, rtol=2e-6)


@pytest.mark.few
@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        pytest.param(CONFIG, (2,), id="tied, a stack"),
        pytest.param(CAPPED, (1, 1), id="capped, single layers"),
        pytest.param(CONFIG, (1, 1), id="tied", marks=pytest.mark.exhaustive),
        pytest.param(CAPPED, (2,), id="capped", marks=pytest.mark.exhaustive),
    ],
)
def test_the_gradient_is_the_plain_one(config, sizes: tuple[int, ...]):
    parameters = initialise(config, jax.random.key(0), sizes=sizes)

    def plain(parameters):
        logits = forward(parameters, BATCH.ids, config=config).logits[:, :-1]
        logs = jax.nn.log_softmax(logits)
        picked = jnp.take_along_axis(logs, BATCH.ids[:, 1:, None], -1)[..., 0]
        return -(BATCH.weights[:, 1:] * picked).sum() / BATCH.weights[:, 1:].sum()

    def ours(parameters):
        return next_token_loss(
            parameters, BATCH, config=config, vocabulary_chunk=5, rematerialise=True
        )

    one, other = (jax.jit(jax.grad(f))(parameters) for f in (plain, ours))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, other
    )
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(one)) > 1e-2


@pytest.mark.slow
def test_what_is_rematerialised_is_not_kept():
    """Of each layer one residual is left, of 6 numbers per token and width and more."""
    config = dataclasses.replace(CONFIG, layers=8, neurons=64)
    parameters = initialise(config, jax.random.key(0), sizes=(8,))

    def kept(rematerialise: bool) -> int:
        def loss(parameters):
            return next_token_loss(
                parameters, BATCH, config=config, rematerialise=rematerialise
            )

        program = jax.jit(jax.grad(loss)).lower(parameters).compile()
        memory = program.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert kept(True) < 0.5 * kept(False)


@pytest.mark.slow
def test_gradients_of_bfloat16_are_of_the_float32_weights():
    parameters = initialise(CONFIG, jax.random.key(0))

    def loss(parameters, dtype):
        return next_token_loss(as_computed(parameters, dtype), BATCH, config=CONFIG)

    graded = jax.jit(jax.grad(loss), static_argnums=1)
    gradients, exact = graded(parameters, "bfloat16"), graded(parameters, "float32")
    for one, other in zip(*map(jax.tree.leaves, (gradients, exact)), strict=True):
        assert one.dtype == jnp.float32
        assert np.linalg.norm(one - other) < 0.1 * np.linalg.norm(other)
