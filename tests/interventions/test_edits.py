"""Edits on a single activation, without a model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import (
    Capture,
    Site,
    Tap,
    add,
    interpolate,
    patch,
    scale,
)
from tests.interventions.single import SIZES, activation, applied, one_row, random

BUILDERS = {"patch": patch, "add": add, "scale": scale}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


@every_dtype
def test_interpolation_is_exact_at_both_ends(dtype: str):
    x, source = random(100, dtype=dtype), random(100, seed=1, dtype=dtype)
    for weight, expected in ((0, x), (1, source)):
        found = interpolate(x, source, jnp.full(1, weight, x.dtype))
        np.testing.assert_array_equal(found, expected)


def test_interpolation_is_a_line_between_its_ends():
    x, source = jnp.array([1.0, 2.0]), jnp.array([5.0, -2.0])
    found = interpolate(x, source, jnp.array([0.25]))
    np.testing.assert_array_equal(found, [2.0, 1.0])


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_interpolation_has_the_derivative_of_the_line_everywhere(weight: float):
    x, source = jnp.array(2.0), jnp.array(7.0)
    gradients = jax.grad(interpolate, argnums=(0, 1, 2))(x, source, jnp.array(weight))
    np.testing.assert_allclose(gradients, (1 - weight, weight, 5.0))


def test_a_score_out_of_sight_takes_no_part_in_the_derivative():
    def seen(weight):
        scores = interpolate(jnp.array([1.0, -jnp.inf]), jnp.ones(2) * 3, weight)
        return jax.nn.softmax(scores)[0] + scores[0]

    assert jax.grad(seen)(jnp.array(0.0)) == 2.0


def test_scaling_is_exact_at_weight_one():
    x = random(50, dtype="bfloat16").reshape(5, 10)
    found = applied(scale(Site.ATTN_OUT, 0.01), x)
    np.testing.assert_array_equal(found, x * jnp.bfloat16(0.01))


def test_scaling_leaves_scores_out_of_sight():
    x = jnp.full((1, 1, 1, 2), -jnp.inf).at[..., 0].set(3.0)
    for factor in (0.0, -2.0):
        found = applied(scale(Site.SCORES, factor), x)
        np.testing.assert_array_equal(found.ravel(), [3 * factor, -jnp.inf])


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_value_that_is_not_finite_does_nothing_at_weight_zero(build: str, bad: float):
    x = activation(Site.Z)
    edit = BUILDERS[build](Site.Z, bad, layers=(2,), weight=0.0)
    np.testing.assert_array_equal(applied(edit, x, layer=2), x)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("bad", [7.0, jnp.nan, jnp.inf])
def test_an_edit_does_nothing_in_a_layer_it_has_no_slot_for(build: str, bad: float):
    x = activation(Site.Z)
    edit = BUILDERS[build](Site.Z, bad, layers=(2, 5))
    np.testing.assert_array_equal(applied(edit, x, layer=3), x)
    assert (applied(edit, x, layer=5) != x).any()


@pytest.mark.parametrize("build", ["add", "scale"])
def test_a_weight_has_its_gradient_at_zero(build: str):
    x, value = activation(Site.RESID_PRE), 3.0

    def total(weight):
        edit = BUILDERS[build](Site.RESID_PRE, value, weight=weight)
        return applied(edit, x).sum()

    expected = value * x.size if build == "add" else (value - 1) * x.sum()
    np.testing.assert_allclose(jax.grad(total)(0.0), expected, rtol=1e-5)


def test_each_slot_belongs_to_its_own_layer():
    x, source = jnp.zeros((4, 5)), jnp.arange(2.0).reshape(2, 1, 1, 1) + 1
    edit = patch(Site.MLP_IN, source, layers=(4, 1))
    for layer, expected in ((4, 1.0), (1, 2.0), (0, 0.0)):
        np.testing.assert_array_equal(applied(edit, x, layer=layer), x + expected)


@pytest.mark.parametrize("site", list(Site))
def test_positions_select_along_the_position_axis(site: Site):
    x, source = activation(site), activation(site, seed=1)
    positions, axis = [2, 0], site.position_axis
    picked = jnp.take(source, jnp.array(positions), axis=axis)
    edited = applied(patch(site, picked[None, None], positions=positions), x)
    for position in range(SIZES["position"]):
        expected = jnp.take(source if position in positions else x, position, axis)
        np.testing.assert_array_equal(jnp.take(edited, position, axis), expected)


def test_weights_choose_heads():
    x = activation(Site.Z)
    only = jnp.zeros((1, 1, 1, 2, 3, 1)).at[0, 0, 0, 1, 2, 0].set(1)
    edited = applied(patch(Site.Z, 0.0, weight=only), x)
    np.testing.assert_array_equal(edited, x.at[:, 1, 2].set(0))


@every_dtype
def test_an_edit_never_changes_the_type_of_an_activation(dtype: str):
    x = activation(Site.K, dtype=dtype)
    for build in BUILDERS.values():
        edited = applied(build(Site.K, 1.5, weight=0.5), x)
        assert edited.dtype == x.dtype and edited.shape == x.shape


def test_a_tap_edits_its_own_site_in_order_and_captures_the_result():
    edits = [
        one_row(add(Site.Z, 1.0)),
        one_row(scale(Site.Z, 3.0)),
        one_row(scale(Site.K, 100.0)),
    ]
    tap = Tap(edits, [Capture(site=Site.K), Capture(site=Site.Z)])
    x = activation(Site.Z)
    np.testing.assert_array_equal(tap(Site.Z, x), (x + 1) * 3)
    assert tap.captured[0] is None
    np.testing.assert_array_equal(tap.captured[1], (x + 1) * 3)


def test_edits_are_pytrees_whose_structure_says_where():
    first = patch(Site.Z, 1.0, layers=(3,))
    leaves, structure = jax.tree.flatten(first)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert structure == jax.tree.structure(patch(Site.Z, 9.0, layers=(0,)))
    assert structure != jax.tree.structure(patch(Site.K, 1.0, layers=(3,)))
    assert structure != jax.tree.structure(add(Site.Z, 1.0, layers=(3,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": np.ones(5)}, r"value .* Site.MLP_IN has shape \(5,\)"),
        ({"weight": np.ones((1, 5))}, r"weight .* has shape \(1, 5\)"),
        ({"source": np.ones((3, 1, 1, 5))}, "value .* has 3 slots for 2 layers"),
        ({"weight": np.ones((3, 1, 1, 1))}, "weight .* has 3 slots for 2 layers"),
    ],
)
def test_shapes_that_cannot_fit_any_model_are_refused(arguments, message: str):
    arguments = {"source": 1.0, "layers": (0, 1), **arguments}
    build = functools.partial(patch, Site.MLP_IN)
    with pytest.raises(ValueError, match=message):
        build(**arguments)
