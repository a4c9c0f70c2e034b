"""The resumed pass equals full forwards with the same patches."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site, all_nodes
from mcq_jax.passes import NodeSets, prefill, resume
from mcq_jax.sweeps import every_node
from tests import tiny
from tests.passes.full_runs import (
    LENGTHS,
    SOURCES,
    at_the_end,
    patched_run,
    prompts,
    random_sources,
)

GROUPED = "grouped heads, biases, partial rotation"
# Relative to the largest entry of the residual stream, in float32.
ROUNDING = 1e-5
MODELS = [
    (GROUPED, (1, 1, 1)),
    (GROUPED, (1, 2)),
    ("one key head, plain feed-forward, all biases, no rotation", (3,)),
    *((case, (1, 2)) for case in tiny.FAMILIES),
]
NO_NORM = ("no norm, own score scale", (1, 1, 1))


@functools.cache
def _model(case: str, sizes: tuple[int, ...]):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config, sizes=sizes)
    start = prefill(parameters, *prompts(config), config=config)
    return config, parameters, start


def _assert_equals_full_runs(case: str, sizes: tuple[int, ...], masks: np.ndarray):
    config, parameters, start = _model(case, sizes)
    sources = random_sources(config)
    resumed = resume(
        parameters, start, sources, NodeSets(masks), config=config, repeats=10**6
    )
    assert resumed.final.shape == (len(LENGTHS), SOURCES, len(masks), config.width)
    assert resumed.nodes is None
    unrolled = tiny.random_parameters(config, sizes=(1, 1, 1))
    for row, mask in enumerate(masks):
        for source in range(SOURCES):
            full = patched_run(
                unrolled, config, sources, source, mask, [Site.FINAL_RESID]
            )
            expected = at_the_end(full.activations[Site.FINAL_RESID])
            found = resumed.final[:, source, row]
            atol = ROUNDING * float(jnp.abs(expected).max())
            np.testing.assert_allclose(
                found, expected, rtol=0, atol=atol, err_msg=f"row {row}"
            )


@pytest.mark.few
@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        *(pytest.param(*model, marks=tiny.marks_of(model[0])) for model in MODELS),
        pytest.param(*NO_NORM, marks=pytest.mark.exhaustive),
    ],
)
def test_every_node_resumed_equals_its_full_run(case: str, sizes: tuple[int, ...]):
    masks = every_node(tiny.CASES[case]).masks
    _assert_equals_full_runs(case, sizes, masks if case == GROUPED else masks[1::2])


@pytest.mark.slow
def test_sets_of_nodes_in_any_order_equal_their_full_runs():
    config = tiny.CASES[GROUPED]
    shape = (11, config.layers, config.nodes)
    masks = np.random.default_rng(0).random(shape) < 0.2
    masks[3, :2], masks[5, :1] = False, False  # births in no order
    masks[:, 2, 0] = True
    births = NodeSets(masks).births
    assert set(births) == {0, 1, 2} and (np.diff(births) < 0).any()
    _assert_equals_full_runs(GROUPED, (1, 1, 1), masks)


@pytest.mark.slow
def test_patching_every_node_keeps_of_a_prompt_only_its_last_token():
    # All that is written at the end comes from the source; what biases write and the
    # last token's own embedding stay.
    config, parameters, start = _model(GROUPED, (1, 1, 1))
    tokens, lengths = prompts(config, seed=5)
    sites = NodeSets.sites
    source = prefill(parameters, tokens, lengths, config=config, sites=sites)
    bank = {site: a[:, :, None] for site, a in source.activations.items()}
    everything = NodeSets(np.ones((1, config.layers, config.nodes), bool))
    found = resume(parameters, start, bank, everything, config=config).final[:, 0, 0]
    expected = start.embedding + (source.final - source.embedding)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert (jnp.abs(found - start.final).max(axis=1) > 0.1).all()


def test_patching_a_prompt_with_itself_changes_nothing():
    config, parameters, start = _model(GROUPED, (1, 1, 1))
    own = {site: a[:, :, None, None] for site, a in start.nodes.items()}
    found = resume(parameters, start, own, every_node(config), config=config).final
    clean = jnp.broadcast_to(start.final[:, None, None], found.shape)
    np.testing.assert_allclose(found, clean, rtol=0, atol=1e-4)


def test_kept_nodes_are_those_of_the_full_run():
    config, parameters, start = _model(GROUPED, (1, 1, 1))
    sources = random_sources(config)
    masks = every_node(config).masks[[20, 4]]
    kept = resume(
        parameters, start, sources, NodeSets(masks), config=config, keep_nodes=True
    )
    without = resume(parameters, start, sources, NodeSets(masks), config=config)
    np.testing.assert_allclose(kept.final, without.final, rtol=0, atol=1e-4)
    assert kept.nodes is not None
    for row, mask in enumerate(masks):
        full = patched_run(
            parameters, config, sources, 1, mask, [Site.Z, Site.MLP_OUT]
        ).activations
        for site, found in kept.nodes.items():
            expected = jnp.stack([at_the_end(layer) for layer in full[site]])
            np.testing.assert_allclose(
                found[:, :, 1, row], expected, rtol=0, atol=1e-4, err_msg=str(site)
            )


def test_rows_of_every_node_are_those_of_all_nodes():
    config = tiny.CASES[GROUPED]
    masks = every_node(config).masks
    for mask, node in zip(masks, all_nodes(config.layers, config.heads), strict=True):
        assert np.argwhere(mask).tolist() == [[node.layer, node.column(config.heads)]]


def test_rows_that_patch_nothing_are_refused():
    masks = np.ones((3, 2, 2), bool)
    masks[1] = False
    with pytest.raises(ValueError, match=r"rows \[1\] of 3 patch no node"):
        NodeSets(masks)
    with pytest.raises(ValueError, match="of 0 patch no node"):
        NodeSets(masks[:0])


def test_sources_of_another_shape_or_without_a_site_are_refused():
    config, parameters, start = _model(GROUPED, (1, 1, 1))
    plan = every_node(config)
    flat = {site: a[:, :, None] for site, a in start.nodes.items()}
    with pytest.raises(ValueError, match=r"give \[layer, prompt, source, position, "):
        resume(parameters, start, flat, plan, config=config)
    with pytest.raises(ValueError, match="takes z of sources, which hold mlp_out"):
        some = {Site.MLP_OUT: flat[Site.MLP_OUT][:, :, :, None]}
        resume(parameters, start, some, plan, config=config)
