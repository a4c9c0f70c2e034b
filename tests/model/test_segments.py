"""Layers one by one, under a scan, or in a mixture of both: the same model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site, add, patch
from mcq_jax.model import forward, stack_layers
from mcq_jax.model.run import run_embed, run_layers
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
TOKENS = tiny.random_tokens(CONFIG, 2, 5)
POSITIONS = jnp.broadcast_to(jnp.arange(5), (2, 5))
ROUNDING = 1e-5


def _run(sizes: tuple[int, ...]):
    parameters = tiny.random_parameters(CONFIG, sizes=sizes)
    generator = np.random.default_rng(0)
    source = generator.normal(size=(2, 2, 5, CONFIG.width))
    edits = [
        patch(Site.ATTN_OUT, source, layers=(2, 0), weight=0.5),
        add(Site.RESID_MID, source[:1], layers=(1,), positions=np.arange(5)),
    ]
    wishes = [Site.RESID_PRE, Site.PATTERN, Site.MLP_POST]
    return forward(parameters, TOKENS, edits, config=CONFIG, capture=wishes)


@pytest.mark.parametrize("sizes", [(3,), (1, 2), (2, 1)], ids=str)
def test_segments_make_no_difference(sizes: tuple[int, ...]):
    one_by_one, stacked = _run((1, 1, 1)), _run(sizes)
    np.testing.assert_allclose(stacked.logits, one_by_one.logits, atol=ROUNDING)
    for site, expected in one_by_one.activations.items():
        found = stacked.activations[site]
        np.testing.assert_allclose(found, expected, atol=ROUNDING, err_msg=str(site))


@pytest.mark.parametrize("sizes", [(3,), (1, 2)], ids=str)
def test_kept_keys_and_values_are_those_of_the_layers(sizes: tuple[int, ...]):
    def blocks(sizes):
        parameters = tiny.random_parameters(CONFIG, sizes=sizes)
        x, _ = run_embed(parameters.embed, TOKENS, POSITIONS, config=CONFIG)
        run = run_layers(parameters, x, POSITIONS, config=CONFIG, keep_blocks=True)
        assert len(run.blocks) == len(sizes)
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *run.blocks)

    expected, found = blocks((1, 1, 1)), blocks(sizes)
    assert found.keys.shape == (3, 2, 5, CONFIG.kv_heads, CONFIG.head_width)
    np.testing.assert_allclose(found.keys, expected.keys, atol=ROUNDING)
    np.testing.assert_allclose(found.values, expected.values, atol=ROUNDING)
    np.testing.assert_array_equal(found.length, np.full((3, 2), 5))


def test_blocks_are_kept_only_on_request():
    parameters = tiny.random_parameters(CONFIG)
    x, _ = run_embed(parameters.embed, TOKENS, POSITIONS, config=CONFIG)
    assert run_layers(parameters, x, POSITIONS, config=CONFIG).blocks == ()


def test_segment_sizes_that_do_not_add_up_are_refused():
    group = tiny.random_parameters(CONFIG).layers[0]
    with pytest.raises(ValueError, match=r"segments of \(1, 1\) layers for 3 layers"):
        stack_layers([group] * 3, (1, 1))
