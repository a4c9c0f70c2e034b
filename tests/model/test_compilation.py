"""What varies across a sweep is an array: new values never compile anew."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site, patch
from mcq_jax.model import Precision, forward, run
from tests import tiny

CONFIG = tiny.CASES["every head its own keys, full rotation"]
PARAMETERS = tiny.random_parameters(CONFIG)
TOKENS = tiny.random_tokens(CONFIG, 2, 5)


def _compiled(jitted) -> int:
    """How many programs a jitted function has compiled."""
    return jitted._cache_size()


def test_a_jitted_forward_compiles_once_for_all_values():
    @jax.jit
    def logits(tokens, source, weight, layers, positions):
        edit = patch(
            Site.RESID_MID, source, layers=layers, positions=positions, weight=weight
        )
        return forward(PARAMETERS, tokens, [edit], config=CONFIG).logits

    seen = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        source = jnp.asarray(generator.normal(size=(1, 2, 2, CONFIG.width)))
        layers, positions = jnp.array([seed]), jnp.array([[0, seed], [3, 4]])
        tokens = tiny.random_tokens(CONFIG, 2, 5, seed=seed)
        seen.append(logits(tokens, source, 0.5 * seed, layers, positions))
    assert _compiled(logits) == 1
    assert (seen[0] != seen[1]).any() and (seen[1] != seen[2]).any()


def test_the_host_loop_compiles_one_layer_for_all_layers_and_values():
    before = _compiled(run._run_layer)
    for seed in range(3):
        weight = jnp.full((1, 1, 1, 1), seed / 2)
        edit = patch(Site.MLP_IN, float(seed), layers=(seed,), weight=weight)
        forward(PARAMETERS, TOKENS, [edit], config=CONFIG, capture=[Site.MLP_IN])
    assert _compiled(run._run_layer) == before + 1


def test_captures_leave_jit_as_ordinary_outputs():
    @jax.jit
    def run(tokens):
        capture = [Site.Z, Capture(site=Site.EMBED), Site.LOGITS]
        return forward(PARAMETERS, tokens, config=CONFIG, capture=capture)

    activations = run(TOKENS).activations
    assert list(activations) == [Site.EMBED, Site.Z, Site.LOGITS]
    assert activations[Site.Z].shape[:3] == (CONFIG.layers, 2, 5)


@pytest.mark.parametrize("precision", Precision)
def test_every_product_has_the_precision_of_the_config(precision):
    config = tiny.CASES["as Chinchilla: relative positions"]
    assert config.precision is Precision.HIGHEST
    config = dataclasses.replace(config, precision=precision)
    program = jax.jit(lambda p, t: forward(p, t, config=config).logits).lower(
        tiny.random_parameters(config), TOKENS
    )
    products = [line for line in program.as_text().splitlines() if "dot_gen" in line]
    assert len(products) >= 8  # six of a layer, of scores by distance, of logits
    wanted = f"precision = [{precision.name}, {precision.name}]"
    for line in products:
        assert wanted in line
