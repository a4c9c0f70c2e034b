"""Initial weights have the size that each kind is to have, in any model."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from mcq_jax.model import ModelConfig, Norm, parameter_shapes
from mcq_jax.training import initialise, next_token_loss
from tests.training.small import CONFIG, Counting

WIDE = ModelConfig(
    layers=3,
    width=64,
    kv_heads=2,
    group=2,
    head_width=16,
    neurons=256,
    vocabulary=512,
    context=32,
    rotary_width=0,
    relative_positions=True,
    learned_positions=True,
    norm=Norm.LAYER,
    mlp_bias=True,
    qkv_bias=True,
)


def test_each_kind_has_its_size():
    parameters = initialise(WIDE, jax.random.key(0), sizes=(1, 2))
    layer = parameters.layers[1]
    expected = {
        "query": 1 / math.sqrt(64),
        "relative": 1 / math.sqrt(64),
        "up": 1 / math.sqrt(64),
        "output": 1 / math.sqrt(64 * 2 * 3),
        "down": 1 / math.sqrt(256 * 2 * 3),
    }
    found = {**layer["attention"], **layer["feedforward"]}
    for name, deviation in expected.items():
        assert np.std(found[name]) == pytest.approx(deviation, rel=0.05)
    assert np.std(parameters.embed["~"]["table"]) == pytest.approx(0.0625, rel=0.05)
    assert (np.asarray(found["norm_gain"]) == 1).all()
    assert (np.asarray(found["up_bias"]) == 0).all()


def test_feedforward_blocks_may_begin_quietly():
    """And nothing else changes."""
    usual = initialise(WIDE, jax.random.key(0), sizes=(3,))
    quiet = initialise(WIDE, jax.random.key(0), sizes=(3,), feedforward=0.25)
    down = usual.layers[0]["feedforward"]["down"]
    layer = quiet.layers[0]
    np.testing.assert_array_equal(layer["feedforward"]["down"], down / 4)
    block = {**layer["feedforward"], "down": down}
    same = quiet._replace(layers=({**layer, "feedforward": block},))
    jax.tree.map(np.testing.assert_array_equal, same, usual)


def test_shapes_are_those_that_the_model_needs():
    for config in (WIDE, CONFIG):
        made = initialise(config, jax.random.key(0), sizes=(1,) * config.layers)
        one = made._replace(layers=(jax.tree.map(lambda a: a[0], made.layers[0]),))
        expected = jax.tree.map(lambda a: a.shape, parameter_shapes(config))
        assert jax.tree.map(lambda a: a.shape, one) == expected


def test_numbers_depend_on_key_name_and_layer_only():
    one = initialise(CONFIG, jax.random.key(0), sizes=(1, 1))
    stack = initialise(CONFIG, jax.random.key(0), sizes=(2,))
    untied = dataclasses.replace(CONFIG, tied=False)
    other = initialise(untied, jax.random.key(0), sizes=(1, 1))
    for layer in range(2):
        layers = (one.of_layer(layer).layers, stack.of_layer(layer).layers)
        jax.tree.map(np.testing.assert_array_equal, *layers)
    jax.tree.map(np.testing.assert_array_equal, one.layers, other.layers)
    query = [group["attention"]["query"] for group in one.layers]
    assert (np.asarray(query[0]) != np.asarray(query[1])).all()
    another = initialise(CONFIG, jax.random.key(1))
    assert (np.asarray(another.embed["~"]["table"]) != one.embed["~"]["table"]).all()


@pytest.mark.parametrize("config", [CONFIG, WIDE], ids=["small", "wide"])
def test_an_untrained_model_expects_every_token(config: ModelConfig):
    loss = next_token_loss(
        initialise(config, jax.random.key(0)), Counting().batch(0), config=config
    )
    assert float(loss) == pytest.approx(math.log(config.vocabulary), abs=0.3)
