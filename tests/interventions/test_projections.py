import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site, project_onto, project_out
from mcq_jax.interventions.projections import orthonormal
from tests.interventions.single import activation, applied, random

ROUNDING = 1e-5


def _close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_the_two_projections_add_up_to_x_and_the_center():
    x, basis, center = activation(Site.Z), random(2, 5, seed=1), random(5, seed=2)
    inside = applied(project_onto(Site.Z, basis, center=center), x)
    outside = applied(project_out(Site.Z, basis, center=center), x)
    _close(inside + outside, x + center.reshape(1, 1, 1, 5))


def test_a_projection_by_hand():
    x = jnp.array([[3.0, 4.0, 5.0]] * 4)
    basis = np.array([[1.0, 1.0, 0.0]])  # of length sqrt(2): made a unit vector first
    _close(applied(project_onto(Site.MLP_IN, basis), x)[0], [3.5, 3.5, 0])
    _close(applied(project_out(Site.MLP_IN, basis), x)[0], [-0.5, 0.5, 5])
    centered = project_onto(Site.MLP_IN, basis, center=np.array([0.0, 0.0, 1.0]))
    _close(applied(centered, x)[0], [3.5, 3.5, 1])


def test_projecting_twice_is_projecting_once():
    x, edit = activation(Site.K), project_onto(Site.K, random(3, 5, seed=1))
    once = applied(edit, x)
    _close(applied(edit, once), once)


def test_the_whole_space_leaves_everything_and_nothing():
    x, basis = activation(Site.K), random(5, 5, seed=1)
    _close(applied(project_onto(Site.K, basis), x), x)
    _close(applied(project_out(Site.K, basis), x), 0 * x)


def test_every_head_may_have_its_own_basis():
    x, bases = activation(Site.K), random(2, 1, 5, seed=1)  # [kv_head, vector, width]
    found = applied(project_out(Site.K, bases), x)
    for head in range(2):
        alone = applied(project_out(Site.K, bases[head], heads=[head]), x)
        _close(found[:, head], alone[:, head])
        along = jnp.einsum("pw,w->p", found[:, head], bases[head, 0])
        _close(along, jnp.zeros(4))


@pytest.mark.parametrize("shape", [(5,), ()])
def test_what_is_no_basis_is_refused(shape):
    with pytest.raises(ValueError, match=r"basis of shape .*; give \[vector, width\]"):
        project_onto(Site.K, np.ones(shape))


DEPENDENT = {
    "twice the same": [[1.0, 2, 0, 1, 0], [1.0, 2, 0, 1, 0]],
    "zeros": [[0.0] * 5] * 3,
    "centred class means": np.eye(5)[:4] - 0.25 * np.array([1, 1, 1, 1, 0]),
    "more than the space holds": np.random.default_rng(1).normal(size=(7, 5)),
    "a later one between": [[1.0, 0, 0, 0, 0], [2.0, 0, 0, 0, 0], [1.0, 1, 0, 0, 0]],
}


@pytest.mark.parametrize("name", DEPENDENT)
@pytest.mark.parametrize("is_traced", [False, True])
def test_a_subspace_is_the_span_whatever_vectors_are_given(name: str, is_traced: bool):
    basis = np.array(DEPENDENT[name])
    make = jax.jit(orthonormal) if is_traced else orthonormal
    found = np.asarray(make(basis), np.float64)
    expected = np.linalg.pinv(basis, rcond=1e-6) @ basis
    np.testing.assert_allclose(found.T @ found, expected, atol=1e-5)
    kept = (np.abs(found).max(axis=1) > 0).sum()
    assert kept == np.linalg.matrix_rank(basis)


def test_a_basis_with_dependent_vectors_has_finite_gradients():
    basis = jnp.array(DEPENDENT["twice the same"])
    slope = jax.grad(lambda b: (orthonormal(b) @ jnp.arange(5.0)).sum())(basis)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("length", [1e-25, 1e-19, 1e19, 1e25])
def test_a_span_has_no_lengths(length: float):
    basis = np.float32(random(2, 5, seed=1))
    _close(orthonormal(basis * np.float32(length)), orthonormal(basis))
