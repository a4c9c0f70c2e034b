"""A capture of some layers and positions is a slice of the capture of all."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site, patch
from mcq_jax.model import forward
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
TOKENS = tiny.random_tokens(CONFIG, 2, 5)
SITES = (Site.ATTN_SCALE, Site.PATTERN, Site.Z, Site.RESID_POST)
# Host loop, scan, and a mixture: captures cross the borders of segments.
SEGMENTS = ((1, 1, 1), (3,), (1, 2))


@functools.cache
def _everything(sizes):
    return _captured((*SITES, Site.LOGITS), sizes)


def _captured(capture, sizes):
    parameters = tiny.random_parameters(CONFIG, sizes=sizes)
    return forward(parameters, TOKENS, config=CONFIG, capture=capture).activations


@pytest.mark.few
@pytest.mark.parametrize("sizes", SEGMENTS, ids=str)
def test_some_layers_and_positions_are_a_slice_of_all(sizes: tuple[int, ...]):
    everything = _everything(sizes)
    layers = {
        Site.ATTN_SCALE: (0, 2),
        Site.PATTERN: (1,),
        Site.Z: None,
        Site.RESID_POST: (0, 2),
    }
    positions = np.array([[4, 1], [0, 0]])  # [row, selected]
    some = _captured(
        [
            Capture(site=site, layers=kept, positions=jnp.asarray(positions))
            for site, kept in layers.items()
        ],
        sizes,
    )
    for site, kept in layers.items():
        full = np.asarray(everything[site])[list(kept or range(CONFIG.layers))]
        expected = [
            np.take(full[:, row], positions[row], axis=1 + site.position_axis)
            for row in range(2)
        ]
        np.testing.assert_array_equal(some[site], np.stack(expected, axis=1))


def test_a_capture_of_layers_is_a_source_for_the_same_layers():
    # Both count layers as they are named; sorted, the two would be interchanged.
    named = (2, 0)
    parameters = tiny.random_parameters(CONFIG)
    clean = forward(parameters, TOKENS, config=CONFIG)
    (kept,) = _captured([Capture(site=Site.Z, layers=named)], (3,)).values()
    edit = patch(Site.Z, kept, layers=named)
    again = forward(parameters, TOKENS, edit, config=CONFIG)
    np.testing.assert_allclose(again.logits, clean.logits, atol=1e-5)


def test_positions_shared_by_all_rows():
    at = jnp.array([[3, 1]])
    everything = _everything((1, 1, 1))
    some = _captured(
        [Capture(site=Site.Z, positions=at), Capture(site=Site.LOGITS, positions=at)],
        (1, 1, 1),
    )
    np.testing.assert_array_equal(some[Site.Z], everything[Site.Z][:, :, at[0]])
    np.testing.assert_array_equal(some[Site.LOGITS], everything[Site.LOGITS][:, at[0]])


def test_a_capture_of_the_logits_is_the_logits():
    parameters = tiny.random_parameters(CONFIG)
    run = forward(parameters, TOKENS, config=CONFIG, capture=[Site.LOGITS])
    np.testing.assert_array_equal(run.activations[Site.LOGITS], run.logits)


DEEP = dataclasses.replace(CONFIG, layers=16, context=64)


@pytest.mark.parametrize("sizes", [(1,) * 16, (16,)], ids=["host loop", "scan"])
def test_what_is_not_asked_for_takes_no_memory(sizes: tuple[int, ...]):
    parameters = tiny.random_parameters(DEEP, sizes=sizes)
    tokens = tiny.random_tokens(DEEP, 2, 64)
    at = jnp.array([[63]])
    wishes = [
        Capture(site=site, layers=(3, 9), positions=at)
        for site in (Site.RESID_POST, Site.Z, Site.MLP_POST)
    ]

    def memory(capture):
        run = jax.jit(lambda p, t: forward(p, t, config=DEEP, capture=capture))
        analysis = run.lower(parameters, tokens).compile().memory_analysis()
        assert analysis is not None
        return analysis.output_size_in_bytes, analysis.temp_size_in_bytes

    by_layer_and_row = DEEP.width + DEEP.heads * DEEP.head_width + DEEP.neurons
    wanted = 4 * 2 * 2 * by_layer_and_row  # float32, two layers, two rows
    one_layer = 4 * 2 * 64 * by_layer_and_row  # all positions of what is captured
    (bare, bare_temporary), (some, temporary) = memory(()), memory(wishes)
    padding = 64 * len(wishes)  # alignment and pointers
    assert wanted <= some - bare <= wanted + padding
    assert temporary - bare_temporary < 2 * one_layer  # of 16
