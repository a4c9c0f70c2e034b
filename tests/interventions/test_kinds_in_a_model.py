"""Every kind of edit in a forward pass: one program, in which only values change."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import ArrayLike

from mcq_jax.interventions import (
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
from mcq_jax.model import forward, run
from tests import tiny
from tests.interventions.single import random, with_values
from tests.interventions.test_kinds import bent

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]  # 2 x 4 heads
ROWS, POSITIONS = 2, 5
TOKENS = tiny.random_tokens(CONFIG, ROWS, POSITIONS)
PARAMETERS = tiny.random_parameters(CONFIG)


def _dictionary(seed: int) -> Dictionary:
    return Dictionary(
        encoder=random(10, 6, seed=seed),
        decoder=random(6, 10, seed=seed + 1),
        encoder_bias=5 + random(6, seed=seed + 2),  # some are active everywhere
        decoder_bias=random(10, seed=seed + 3),
        threshold=jnp.zeros(6),
    )


def _edits(seed: int = 0, *, head: int = 3, position: int = 2) -> dict[str, Edit]:
    """One edit of every kind, in the order of the sites."""
    at = {"layers": [1], "positions": [[position]] * ROWS}
    heads, neurons = [[head]] * ROWS, [[head]] * ROWS
    features = (_dictionary(seed), range(6))
    return {
        "set features": set_features(Site.RESID_PRE, *features, 2.0, **at),
        "project onto": project_onto(
            Site.Q, random(2, 6, seed=seed), heads=heads, **at
        ),
        "project out": project_out(
            Site.ROT_K, random(2, 6, seed=seed), heads=[[head % 2]] * ROWS, **at
        ),
        "pattern": patch(
            Site.PATTERN, 0.5 + seed, heads=heads, keys=[[position - 1]] * ROWS, **at
        ),
        "patch": patch(Site.Z, random(1, 1, 1, 2, 4, 6, seed=seed), heads=heads, **at),
        "add": add(Site.ATTN_OUT, random(1, 1, 1, 10, seed=seed), **at),
        "scale": scale(Site.MLP_POST, 3.0 + seed, neurons=neurons, **at),
        "apply": apply(Site.MLP_OUT, bent, random(10, seed=seed), 1.0 + seed, **at),
        "scale features": scale_features(Site.RESID_POST, *features, 3.0, **at),
    }


KINDS = list(_edits())


def _program(edits: dict[str, Edit], tokens=TOKENS):
    return forward(PARAMETERS, tokens, list(edits.values()), config=CONFIG).logits


def _weights(edits: dict[str, Edit], weights: Mapping[str, ArrayLike]):
    """The same edits with a weight per row; 0 where none is given."""

    def spread(name: str, edit: Edit) -> Edit:
        by_row = jnp.broadcast_to(jnp.asarray(weights.get(name, 0.0)), (ROWS,))
        axes = (1, ROWS) + (1,) * (edit.weight.ndim - 2)
        return dataclasses.replace(edit, weight=by_row.reshape(axes).astype(float))

    return {name: spread(name, edit) for name, edit in edits.items()}


@functools.cache
def _plain():
    return forward(PARAMETERS, TOKENS, config=CONFIG).logits


@functools.cache
def _alone(kind: str, **options):
    return _program(_weights(_edits(**options), {kind: 1.0}))


@pytest.mark.parametrize("bad", [None, jnp.nan, jnp.inf])
def test_weight_zero_is_the_plain_program_whatever_the_edits_hold(bad):
    edits = _weights(_edits(), {})
    if bad is not None:
        edits = {name: with_values(edit, bad) for name, edit in edits.items()}
    np.testing.assert_array_equal(_program(edits), _plain())


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_changes_its_position_and_later_ones(kind: str):
    edited, plain = _alone(kind), _plain()
    np.testing.assert_array_equal(edited[:, :2], plain[:, :2])
    change = np.abs(edited - plain)[:, 2:].max(axis=(0, 2))
    assert (change > 1e-4).all()  # of logits near 1: more than rounding, anywhere


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_the_edit_stays_plain(kind: str):
    logits = _program(_weights(_edits(), {kind: np.array([0.0, 1.0])}))
    np.testing.assert_array_equal(logits[0], _plain()[0])
    np.testing.assert_array_equal(logits[1], _alone(kind)[1])


@pytest.mark.few
@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_their_own_place_equal_separate_runs(kind: str):
    places = ({"head": 3, "position": 2}, {"head": 0, "position": 4})
    edits = [_edits(**place)[kind] for place in places]

    def join(path, one, other):
        name = path[-1].name
        axis = {"positions": 0, "units": 1, "keys": 1}.get(name)
        if axis is None:
            return one
        halves = (
            jax.lax.index_in_dim(a, row, axis) for row, a in enumerate((one, other))
        )
        return jnp.concatenate(list(halves), axis)

    both = _edits() | {kind: jax.tree.map_with_path(join, *edits)}
    logits = _program(_weights(both, {kind: 1.0}))
    for row, place in enumerate(places):
        np.testing.assert_array_equal(logits[row], _alone(kind, **place)[row])


def test_one_layer_program_serves_every_value_of_every_kind():
    _program(_weights(_edits(), {}))
    before = run._run_layer._cache_size()  # pyright: ignore
    for seed in range(2):
        _program(_weights(_edits(seed, head=seed, position=1 + seed), {"patch": 0.5}))
    assert run._run_layer._cache_size() == before  # pyright: ignore


@pytest.mark.slow
def test_all_kinds_compose_and_their_weights_have_gradients():
    def readout(weight: ArrayLike):
        edits = _weights(_edits(), {kind: weight for kind in KINDS})
        return (_program(edits) * random(ROWS, POSITIONS, 13, seed=4)).sum()

    def slope_over(step: float):
        return (readout(0.5 + step) - readout(0.5 - step)) / (2 * step)

    # Steps that do not drown in rounding; their error of second order is taken out.
    slope = (4 * slope_over(5e-3) - slope_over(1e-2)) / 3
    found = jax.grad(readout)(0.5)
    np.testing.assert_allclose(found, slope, rtol=2e-2)
