"""Laws of every kind of edit at a few sites: weights, gradients, batches, programs."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from mcq_jax.interventions import (
    Argument,
    Dictionary,
    Edit,
    Site,
    add,
    apply,
    patch,
    project_onto,
    project_out,
    scale,
    scale_features,
    set_features,
)
from tests.interventions.single import (
    activation,
    applied,
    one_row,
    random,
    with_values,
    with_weight,
)

SITES = (Site.RESID_PRE, Site.K, Site.Z, Site.MLP_POST)
ROUNDING = 1e-5


def bent(x: Array, direction: Array, strength: Array) -> Array:
    """A user's function: not linear in x, and in float32."""
    return jnp.tanh(x.astype(jnp.float32) * strength) + direction.reshape(
        (1,) * (x.ndim - 1) + (-1,)
    )


def dictionary(seed: int = 0, *, width: int = 5, features: int = 7) -> Dictionary:
    return Dictionary(
        encoder=random(width, features, seed=seed),
        decoder=random(features, width, seed=seed + 1),
        encoder_bias=random(features, seed=seed + 2),
        decoder_bias=random(width, seed=seed + 3),
        threshold=jnp.zeros(features),
    )


def _features(build: Callable, site: Site, seed: int, **where) -> Edit:
    return build(site, dictionary(seed), [1, 4], 1.5 + seed, **where)


KINDS: dict[str, Callable[..., Edit]] = {
    "patch": lambda site, seed, **w: patch(
        site, activation(site, seed=seed)[None, None], **w
    ),
    "add": lambda site, seed, **w: add(
        site, activation(site, seed=seed)[None, None], **w
    ),
    "scale": lambda site, seed, **w: scale(site, 1.7 + seed, **w),
    "project onto": lambda site, seed, **w: project_onto(
        site, random(2, 5, seed=seed), center=random(5, seed=seed + 1), **w
    ),
    "project out": lambda site, seed, **w: project_out(
        site, random(2, 5, seed=seed), **w
    ),
    "set features": functools.partial(_features, set_features),
    "scale features": functools.partial(_features, scale_features),
    "apply": lambda site, seed, **w: apply(
        site, bent, random(5, seed=seed), 0.3 + seed, **w
    ),
}

every_kind = pytest.mark.parametrize("kind", KINDS)
# By default every other site of each kind, by turns.
every_kind_and_site = pytest.mark.parametrize(
    ("kind", "site"),
    [
        pytest.param(kind, site, marks=[pytest.mark.exhaustive] * ((k + s) % 2))
        for k, kind in enumerate(KINDS)
        for s, site in enumerate(SITES)
    ],
)


@every_kind_and_site
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weight_zero_returns_the_activation_bit_for_bit(kind, site, dtype):
    x = activation(site, dtype=dtype)
    edit = KINDS[kind](site, 9, weight=0.0)
    for bad in (None, jnp.nan, jnp.inf):
        tried = edit if bad is None else with_values(edit, bad)
        found = applied(tried, x)
        assert found.dtype == x.dtype
        np.testing.assert_array_equal(found, x)
        np.testing.assert_array_equal(jnp.signbit(found), jnp.signbit(x))


@every_kind
def test_nan_does_nothing_in_a_layer_without_a_slot(kind):
    x = activation(Site.Z)
    edit = with_values(KINDS[kind](Site.Z, 9, layers=[2]), jnp.nan)
    np.testing.assert_array_equal(applied(edit, x, layer=1), x)
    assert jnp.isnan(applied(edit, x, layer=2)).any()


@every_kind
def test_nan_at_weight_zero_leaves_the_gradient_of_x_alone(kind):
    x, mix = activation(Site.Z), activation(Site.Z, seed=5)
    edit = with_values(KINDS[kind](Site.Z, 9, weight=0.0), jnp.nan)
    gradient = jax.grad(lambda x: (applied(edit, x) * mix).sum())(x)
    np.testing.assert_array_equal(gradient, mix)


@every_kind_and_site
def test_the_gradient_of_a_weight_is_its_finite_difference_also_at_zero(kind, site):
    x, mix = activation(site), activation(site, seed=5)
    edit = KINDS[kind](site, 9)

    @jax.jit
    def readout(weight):
        return (applied(with_weight(edit, weight), x) * mix).sum()

    # Every kind is linear in its weight, so the step may be large.
    slope = (readout(0.5) - readout(0.0)) / 0.5
    for weight in (0.0, 0.3, 1.0):
        found = jax.grad(readout)(weight)
        np.testing.assert_allclose(found, slope, rtol=1e-3)
    assert abs(slope) > 1e-3


@every_kind
def test_half_a_weight_is_half_of_the_change(kind):
    x, edit = activation(Site.Z), KINDS[kind](Site.Z, 9)
    whole, half = (applied(with_weight(edit, w), x) - x for w in (1.0, 0.5))
    np.testing.assert_allclose(half, whole / 2, rtol=1e-4, atol=ROUNDING)


@pytest.mark.few
@every_kind
def test_edits_under_vmap_equal_a_loop(kind):
    x = activation(Site.Z)
    edits = [KINDS[kind](Site.Z, seed, heads=[seed], layers=[2]) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *edits)
    batch = jax.vmap(lambda edit: applied(edit, x, layer=2))(stacked)
    for edit, found in zip(edits, batch, strict=True):
        expected = applied(edit, x, layer=2)
        np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)
    assert (batch[0] != batch[1]).any()


@every_kind
def test_one_program_serves_all_values(kind):
    traced = []

    @jax.jit
    def run(edit, x):
        traced.append(edit)
        return applied(edit, x)

    x, found = activation(Site.Z), []
    for seed in range(2):
        where = {"layers": [seed], "heads": [seed + 1]}
        found.append(run(KINDS[kind](Site.Z, seed + 3, **where, weight=1.0 - seed), x))
    assert len(traced) == 1
    assert (found[0] != x).any()
    np.testing.assert_array_equal(found[1], x)


@every_kind
def test_several_edits_apply_in_the_order_given(kind):
    x = activation(Site.RESID_PRE)
    first, then = KINDS[kind](Site.RESID_PRE, 3), scale(Site.RESID_PRE, -2.0)
    one_way = applied(then, applied(first, x))
    other_way = applied(first, applied(then, x))
    np.testing.assert_array_equal(one_way, -2 * applied(first, x))
    commutes = kind in ("scale", "project out")  # linear in x
    assert np.allclose(one_way, other_way, atol=1e-4) == commutes


def test_patching_at_weight_one_gives_the_source_at_the_selected_place_only():
    x, source = activation(Site.Z), activation(Site.Z, seed=1)
    edit = patch(Site.Z, source[None, None], heads=[4])
    np.testing.assert_array_equal(applied(edit, x), x.at[:, 1, 1].set(source[:, 1, 1]))


def test_adding_and_scaling_at_weight_one_are_exact():
    x, direction = activation(Site.Z), activation(Site.Z, seed=1)
    added = applied(add(Site.Z, direction[None, None]), x)
    np.testing.assert_array_equal(added, x + direction)
    np.testing.assert_array_equal(applied(scale(Site.Z, 0.3), x), x * jnp.float32(0.3))


def test_a_function_at_weight_one_is_its_result():
    x, direction = activation(Site.Z), random(5)
    found = applied(apply(Site.Z, bent, direction, 0.4), x)
    np.testing.assert_allclose(found, bent(x, direction, jnp.float32(0.4)), rtol=1e-6)


def test_a_pattern_of_scores_can_be_knocked_out():
    x = activation(Site.SCORES)
    edit = patch(Site.SCORES, -jnp.inf, heads=[1], positions=[3], keys=[0, 2])
    expected = x.at[0, 1, 3, 0].set(-jnp.inf).at[0, 1, 3, 2].set(-jnp.inf)
    np.testing.assert_array_equal(applied(edit, x), expected)


@pytest.mark.parametrize("name", ["value", "argument"])
def test_the_gradient_of_what_an_edit_holds_is_its_finite_difference(name: str):
    x, mix = activation(Site.Z), activation(Site.Z, seed=5)
    at, step = random(5, seed=2), 1e-2 * random(5, seed=3)

    def readout(direction):
        if name == "value":
            edit = add(Site.Z, direction.reshape(1, 1, 1, 1, 1, 5), weight=0.4)
        else:
            edit = apply(Site.Z, bent, direction, 0.4, weight=0.4)
        return (applied(edit, x) * mix).sum()

    slope = readout(at + step) - readout(at - step)
    found = 2 * (jax.grad(readout)(at) * step).sum()
    np.testing.assert_allclose(found, slope, rtol=2e-2)


def _nested():
    def inner(x):
        return x

    return inner


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        _nested(),
        functools.partial(bent),
        "text".upper,
    ],
    ids=["lambda", "closure", "partial", "method"],
)
def test_a_function_that_would_compile_anew_is_refused(function):
    with pytest.raises(ValueError, match="a new program to compile; write it as `def`"):
        apply(Site.Z, function)


def too_short(x: Array) -> Array:
    return x[:-1]


def whole_numbers(x: Array) -> Array:
    return jnp.zeros(x.shape, jnp.int32)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (too_short, r"too_short made float32\[3, 5\] of float32\[4, 5\]"),
        (whole_numbers, r"whole_numbers made int32\[4, 5\]"),
    ],
)
def test_a_function_that_changes_shape_or_type_is_refused(function, message: str):
    with pytest.raises(ValueError, match=message):
        applied(apply(Site.RESID_PRE, function), activation(Site.RESID_PRE))


def test_an_argument_may_differ_by_layer_and_row():
    values = random(2, 3, 5)  # [slot, row, width]
    edit = apply(Site.RESID_PRE, bent, Argument(values), 1.0, layers=[4, 1])
    x = activation(Site.RESID_PRE)
    for slot, layer in enumerate((4, 1)):
        for row in range(3):
            expected = bent(x, values[slot, row], jnp.float32(1))
            found = applied(edit, x, layer=layer, row=row)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert len(one_row(edit).arguments) == 2
