"""A tied table is one array: one leaf, one gradient, one buffer."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mcq_jax.model import (
    ModelConfig,
    Norm,
    Parameters,
    forward,
    generate,
    initialise,
    parameter_shapes,
)
from tests import tiny

TIED = dataclasses.replace(
    tiny.CASES["every head its own keys, full rotation"], tied=True
)
UNTIED = dataclasses.replace(TIED, tied=False)
TOKENS = tiny.random_tokens(TIED, 2, 5)
SMOLLM2_135M = ModelConfig(
    layers=30, width=576, kv_heads=3, group=3, head_width=64, neurons=1536,
    vocabulary=49152, context=8192, rotary_width=64, tied=True,
)  # fmt: skip


def _untied(parameters: Parameters) -> Parameters:
    return parameters._replace(unembed=parameters.unembedding)


def _loss(parameters: Parameters, config: ModelConfig):
    logits = forward(parameters, TOKENS[:, :-1], config=config).logits
    return optax.softmax_cross_entropy_with_integer_labels(logits, TOKENS[:, 1:]).mean()


def test_a_tied_model_of_135_million_parameters_is_counted_as_such():
    shapes = parameter_shapes(SMOLLM2_135M)
    once, layer = (shapes.embed, shapes.unembed), shapes.layers

    def count(tree) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))

    assert count(once) + 30 * count(layer) == 134_515_008  # the published number


def test_the_gradient_is_the_sum_over_both_uses_and_a_step_keeps_one_table():
    parameters = tiny.random_parameters(TIED)
    optimiser = optax.sgd(0.5)
    gradient: Any = jax.grad(_loss)(parameters, TIED)
    updates, _ = optimiser.update(gradient, optimiser.init(parameters))  # pyright: ignore
    stepped: Any = optax.apply_updates(parameters, updates)  # pyright: ignore
    by_use = jax.grad(_loss)(_untied(parameters), UNTIED)
    both = by_use.embed["~"]["table"] + by_use.unembed["~"]["table"]
    table = gradient.embed["~"]["table"]
    np.testing.assert_allclose(table, both, atol=1e-6)
    assert jnp.abs(by_use.embed["~"]["table"]).max() > 1e-3  # both are uses
    assert jnp.abs(by_use.unembed["~"]["table"]).max() > 1e-3

    assert jax.tree.structure(stepped) == jax.tree.structure(parameters)
    moved = parameters.embed["~"]["table"] - 0.5 * both
    np.testing.assert_allclose(stepped.unembedding["~"]["table"], moved, atol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    parameters = tiny.random_parameters(TIED)
    table = parameters.embed["~"]["table"]
    gradient = jax.grad(_loss)(parameters, TIED).embed["~"]["table"]
    direction = gradient / jnp.linalg.norm(gradient)

    def at(step: float) -> float:
        moved = {"~": {"table": table + step * direction}}
        return float(_loss(parameters._replace(embed=moved), TIED))

    slope = (at(0.02) - at(-0.02)) / 0.04
    assert slope == pytest.approx(float(jnp.linalg.norm(gradient)), rel=0.01)


@pytest.mark.slow
def test_parameters_can_be_donated():
    @jax.jit
    def halved(parameters):
        return jax.tree.map(lambda leaf: leaf / 2, parameters)

    donating = jax.jit(halved, donate_argnums=0)
    parameters = initialise(TIED, jax.random.key(0))
    expected = np.asarray(parameters.embed["~"]["table"]) / 2
    after = donating(parameters)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(parameters))
    np.testing.assert_array_equal(after.unembedding["~"]["table"], expected)


@pytest.mark.parametrize("norm", [Norm.RMS, Norm.NONE])
def test_tying_changes_no_number(norm: Norm):
    tied, untied = (dataclasses.replace(c, norm=norm) for c in (TIED, UNTIED))
    parameters = tiny.random_parameters(tied)
    some = forward(parameters, TOKENS, config=tied).logits
    others = forward(_untied(parameters), TOKENS, config=untied).logits
    np.testing.assert_array_equal(some, others)


@pytest.mark.slow
def test_a_tied_model_generates_what_its_untied_twin_does():
    parameters = tiny.random_parameters(TIED)
    lengths = np.array([5, 4])
    some, others = (
        generate(weights, TOKENS, lengths, config=config, steps=3)
        for weights, config in ((parameters, TIED), (_untied(parameters), UNTIED))
    )
    jax.tree.map(np.testing.assert_array_equal, some, others)
