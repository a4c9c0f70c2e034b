"""A capture of some heads, neurons and keys is that part of the whole, bit for bit."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site
from mcq_jax.model import forward, sites_of
from tests import tiny

CASES = (
    "grouped heads, biases, partial rotation",
    "every head its own keys, full rotation",
)
ROWS, POSITIONS = 2, 5
# By row, and out of order; of heads (kv heads of K and V) and neurons alike.
UNITS, KEYS, PLACES = [[1, 0], [0, 1]], [[3, 0, 1]], [[4, 1], [2, 0]]


@functools.cache
def _whole(case: str, sizes: tuple[int, ...] | None):
    config = tiny.CASES[case]
    return forward(*_inputs(case, sizes), config=config, capture=sites_of(config))


@functools.cache
def _inputs(case: str, sizes: tuple[int, ...] | None):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config, sizes=sizes)
    return parameters, tiny.random_tokens(config, ROWS, POSITIONS)


def _expected(site: Site, whole: np.ndarray) -> np.ndarray:
    """Plain indexing of the whole, row by row."""
    layers = []
    for layer in whole:
        rows = []
        for row, x in enumerate(layer):
            x = np.take(x, PLACES[row], axis=site.position_axis)
            if site.key_axes:
                x = np.take(x, KEYS[0], axis=site.key_axes[0])
            if site.unit:
                first, last = site.unit_axes[0], site.unit_axes[-1]
                x = x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])
                x = np.take(x, UNITS[row], axis=first)
            rows.append(x)
        layers.append(np.stack(rows))
    return np.stack(layers)


@pytest.mark.few
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_scan", [False, True], ids=["loop", "scan"])
def test_a_selection_is_the_slice_of_the_whole(case: str, is_scan: bool):
    config = tiny.CASES[case]
    sizes = (config.layers,) if is_scan else (1,) * config.layers
    sites = [site for site in sites_of(config) if site.per_layer]
    wishes = [
        Capture.of(
            site,
            positions=PLACES,
            keys=KEYS if site.key_axes else None,
            heads=UNITS if site.unit == "head" else None,
            neurons=UNITS if site.unit == "neuron" else None,
        )
        for site in sites
    ]
    found = forward(*_inputs(case, sizes), config=config, capture=wishes).activations
    whole = _whole(case, sizes).activations
    for site in sites:
        expected = _expected(site, np.asarray(whole[site]))
        np.testing.assert_array_equal(found[site], expected, err_msg=str(site))


def test_some_heads_of_some_layers_take_their_own_room_only():
    case = CASES[0]
    config = tiny.CASES[case]
    wish = Capture.of(Site.Q, layers=[1], heads=[2], positions=[4])
    found = forward(*_inputs(case, None), config=config, capture=wish).activations
    assert found[Site.Q].shape == (1, ROWS, 1, 1, config.head_width)


def test_names_are_captured_as_they_are_edited():
    case = CASES[0]
    config = tiny.CASES[case]
    run = functools.partial(forward, *_inputs(case, None), config=config)
    found = run(capture=["blocks.1.attn.hook_z", "final_norm"]).activations
    whole = run(capture=[Site.Z, Site.FINAL_NORM]).activations
    np.testing.assert_array_equal(found[Site.Z], whole[Site.Z][1:2])
    np.testing.assert_array_equal(found[Site.FINAL_NORM], whole[Site.FINAL_NORM])


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (dict(site=Site.RESID_PRE, heads=[0]), "has neither heads nor neurons"),
        (dict(site=Site.Z, neurons=[0]), "which has heads"),
        (dict(site=Site.Z, keys=[0]), "which has none"),
        (dict(site=Site.Z, heads=[99]), "has 0 to 7"),
        (dict(site=Site.PATTERN, keys=[5]), "has 0 to 4"),
        (dict(site=Site.Z, heads=[[0], [1], [2]]), "for 3 rows, and the run has 2"),
        (dict(site=Site.Z, heads=[]), "are empty"),
    ],
    ids=str,
)
def test_what_cannot_be_selected_is_refused(wish: dict, said: str):
    config = tiny.CASES[CASES[0]]
    with pytest.raises(ValueError, match=said):
        forward(*_inputs(CASES[0], None), config=config, capture=Capture.of(**wish))


def test_one_edit_or_capture_needs_no_list():
    config = tiny.CASES[CASES[0]]
    parameters, tokens = _inputs(CASES[0], None)
    rows = np.asarray(tokens).tolist()
    alone = forward(parameters, rows, config=config, capture=Site.Z)
    listed = forward(parameters, tokens, config=config, capture=[Site.Z])
    np.testing.assert_array_equal(alone.activations[Site.Z], listed.activations[Site.Z])
    assert jnp.isfinite(alone.logits).all()


@pytest.mark.parametrize("is_scan", [False, True], ids=["loop", "scan"])
def test_layers_come_in_the_order_in_which_they_are_named(is_scan: bool):
    config = tiny.CASES[CASES[0]]
    sizes = (config.layers,) if is_scan else (1,) * config.layers
    named = [*reversed(range(config.layers)), 0]
    found = forward(
        *_inputs(CASES[0], sizes),
        config=config,
        capture=Capture.of(Site.MLP_OUT, layers=named),
    ).activations[Site.MLP_OUT]
    whole = _whole(CASES[0], sizes).activations[Site.MLP_OUT]
    np.testing.assert_allclose(found, np.asarray(whole)[named], atol=1e-5)
    assert np.abs(whole[0] - whole[-1]).max() > 0.1


def test_a_site_without_a_layer_is_in_none():
    config = tiny.CASES[CASES[0]]
    wish = Capture.of(Site.LOGITS, layers=[1])
    with pytest.raises(ValueError, match="in none of them: leave layers out"):
        forward(*_inputs(CASES[0], None), config=config, capture=wish)
