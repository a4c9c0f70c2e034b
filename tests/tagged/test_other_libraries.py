"""The same calls on models written with Flax and with Equinox."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from mcq_jax import tagged

X = jnp.asarray([[1.0, -2.0]])
SOURCE = jnp.asarray([[3.0, 0.0, 1.0]])


@pytest.mark.slow
def test_a_flax_model_given_as_an_argument():
    nnx = pytest.importorskip("flax.nnx")

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(2, 3, rngs=rngs)
            self.second = nnx.Linear(3, 2, rngs=rngs)

        def __call__(self, x):
            hidden = checkpoint_name(nnx.relu(self.first(x)), "hidden")
            return self.second(hidden)

    model = Network(nnx.Rngs(0))
    _check(Network.__call__, model, model.first, model.second.kernel[...])
    _check(lambda _, x: model(x), None, model.first, model.second.kernel[...])


def test_a_stack_of_flax_layers_under_scan_and_remat():
    nnx = pytest.importorskip("flax.nnx")

    class Block(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(2, 2, rngs=rngs)

        def __call__(self, x):
            return checkpoint_name(x + jnp.tanh(self.linear(x)), "resid")

    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=0, out_axes=0)
    def make(rngs):
        return Block(rngs)

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    @nnx.remat
    def forward(x, block):
        return block(x)

    blocks = make(nnx.Rngs(0))
    graph, state = nnx.split(blocks)
    model = lambda state, x: forward(x, nnx.merge(graph, state))  # noqa: E731
    (site,) = tagged.sites(model, state, X)
    assert site.loops == (3,) and "remat" in site.inside
    edits = [tagged.patch("resid", X, layers=-1)]
    found = tagged.run(model, state, X, edits=edits, capture=["resid"])
    np.testing.assert_array_equal(found.output, X)
    np.testing.assert_allclose(model(state, X), _by_hand(blocks), rtol=1e-6)
    assert found.captured["resid"].shape == (3, 1, 2)


def _by_hand(blocks):
    x = X
    kernels, biases = blocks.linear.kernel[...], blocks.linear.bias[...]
    for kernel, bias in zip(kernels, biases, strict=True):
        x = x + jnp.tanh(x @ kernel + bias[None])
    return x


def test_an_equinox_model_given_as_an_argument():
    eqx = pytest.importorskip("equinox")

    class Network(eqx.Module):
        first: Callable
        second: Callable
        activation: Callable  # a function among the leaves

        def __call__(self, x):
            hidden = self.activation(jax.vmap(self.first)(x))
            return jax.vmap(self.second)(checkpoint_name(hidden, "hidden"))

    one, two = jax.random.split(jax.random.key(0))
    first, second = eqx.nn.Linear(2, 3, key=one), eqx.nn.Linear(3, 2, key=two)
    model = Network(first, second, jax.nn.relu)
    _check(Network.__call__, model, jax.vmap(first), second.weight.T, second.bias)
    _check(eqx.filter_jit(Network.__call__), model, jax.vmap(first), second.weight.T,
           second.bias)  # fmt: skip


def _check(function, model, first, kernel, bias=None):
    (site,) = tagged.sites(function, model, X)
    assert (site.name, site.shape) == ("hidden", (1, 3))
    found = tagged.run(function, model, X, capture=["hidden"])
    np.testing.assert_array_equal(found.output, function(model, X))
    np.testing.assert_allclose(
        found.captured["hidden"], jax.nn.relu(first(X)), rtol=1e-6
    )
    edited = tagged.run(function, model, X, edits=[tagged.patch("hidden", SOURCE)])
    bias = jnp.zeros(2) if bias is None else bias
    np.testing.assert_allclose(edited.output, SOURCE @ kernel + bias[None], rtol=1e-6)
