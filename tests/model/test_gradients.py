"""Gradients through edits: with respect to weights (attribution) and to sources."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site, add
from mcq_jax.model import forward, sites_of
from tests import tiny
from tests.model.switches import POSITIONS, ROWS, switches

CASES = list(tiny.CASES)
CASE = CASES[1]
SITES = sites_of(tiny.CASES[CASE])
STEP = 2e-3
# Of differences in float32: rounding / STEP, and the fifth derivative.
RELATIVE, ABSOLUTE = 1e-2, 2e-3


def _readout(weights, sources, model):
    """A fixed mix of all logits, of the order of 1."""
    switched = dict(zip(SITES, weights, strict=True))
    logits = model.run(switched, sources=sources).logits
    mix = np.random.default_rng(7).normal(size=logits.shape) / logits.size**0.5
    return (logits * jnp.asarray(mix, jnp.float32)).sum()


@functools.cache
def _programs():
    readout = functools.partial(_readout, model=switches(CASE, stacked=True))
    return jax.jit(readout), jax.jit(jax.grad(readout, argnums=(0, 1)))


def _sources():
    return {
        site: edit.value for site, edit in switches(CASE, stacked=True).edits.items()
    }


def _one_hot(site: Site) -> np.ndarray:
    return np.array([site is other for other in SITES], np.float32)


def _slope(function) -> float:
    """The derivative at 0, from two steps to either side."""
    near, far = (
        (function(step) - function(-step)) / (2 * step) for step in (STEP, 2 * STEP)
    )
    return (4 * near - far) / 3


@pytest.mark.parametrize(
    ("site", "weight"),
    [
        (site, weight)
        for site in SITES
        for weight in (0.0, 0.3, 1.0)
        # At weight 1 a patched score jumps: it shows a key that was out of sight.
        if (site, weight) != (Site.SCORES, 1.0)
    ],
)
def test_the_gradient_of_a_weight_is_its_finite_difference(site: Site, weight: float):
    value, gradients = _programs()
    sources, at = _sources(), weight * _one_hot(site)
    slope = _slope(lambda by: value(at + by * _one_hot(site), sources))
    found = gradients(at, sources)[0][SITES.index(site)]
    np.testing.assert_allclose(found, slope, rtol=RELATIVE, atol=ABSOLUTE)
    assert abs(found) > 1e-6


@pytest.mark.parametrize("site", SITES)
def test_the_gradient_of_a_source_is_its_finite_difference(site: Site):
    value, gradients = _programs()
    sources, at = _sources(), 0.4 * _one_hot(site)
    direction = np.random.default_rng(3).normal(size=sources[site].shape)
    direction = jnp.asarray(direction, jnp.float32)
    slope = _slope(
        lambda by: value(at, {**sources, site: sources[site] + by * direction})
    )
    found = (gradients(at, sources)[1][site] * direction).sum()
    np.testing.assert_allclose(found, slope, rtol=RELATIVE, atol=ABSOLUTE)


@pytest.mark.parametrize("site", SITES)
def test_a_nan_source_at_weight_zero_leaves_the_other_gradients_alone(site: Site):
    _, gradients = _programs()
    sources = _sources()
    other = SITES[SITES.index(site) - 1]
    at = 0.5 * _one_hot(other)
    bad = {**sources, site: jnp.full_like(sources[site], jnp.nan)}
    of_weights, of_sources = gradients(at, bad)
    expected_weights, expected_sources = gradients(at, sources)
    others = 1 - _one_hot(site) > 0
    np.testing.assert_array_equal(of_weights[others], expected_weights[others])
    for name in SITES:
        np.testing.assert_array_equal(of_sources[name], expected_sources[name])


@pytest.mark.few
@pytest.mark.parametrize("case", [CASES[0], CASES[2]])
def test_logits_have_no_gradient_from_future_tokens(case: str):
    model = switches(case)
    position = 2

    @jax.jit
    @jax.grad
    def gradient(nudge):
        edit = add(Site.EMBED, nudge)
        run = forward(model.parameters, model.tokens, [edit], config=model.config)
        return run.logits[:, position].sum()

    by_token = gradient(jnp.zeros((1, ROWS, POSITIONS, model.config.width)))[0]
    np.testing.assert_array_equal(by_token[:, position + 1 :], 0)
    assert (by_token[:, : position + 1] != 0).any(axis=-1).all()
