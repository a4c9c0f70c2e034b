"""Edits that do not fit a run are refused before anything is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from mcq_jax.interventions import Argument, Edit, Site, add, apply, patch, scale
from mcq_jax.interventions.lists import as_captures, as_edits
from mcq_jax.model.inputs import as_tokens
from mcq_jax.model.validation import check_inputs, check_traced
from tests import tiny
from tests.interventions.test_kinds import bent

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]  # 2 x 4 heads
TOKENS = tiny.random_tokens(CONFIG, 2, 5)


def _check(*edits: Edit):
    check_inputs(TOKENS, edits, (), CONFIG)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (patch(Site.Z, 0.0, heads=[8]), "heads of .* 8 to 8; Site.Z has 0 to 7"),
        (patch(Site.K, 0.0, heads=[2]), "heads of .* Site.K has 0 to 1"),
        (patch(Site.Z, 0.0, heads=[-1]), "heads of .* -1"),
        (patch(Site.MLP_POST, 0.0, neurons=[7]), "neurons of .* has 0 to 6"),
        (patch(Site.PATTERN, 0.0, keys=[5]), "keys of .* has 0 to 4"),
        (patch(Site.Z, 0.0, heads=[[0], [1], [2]]), "heads .* for 3 rows, .* has 2"),
        (
            apply(Site.RESID_PRE, bent, Argument(jnp.ones((1, 3, 10))), 1.0),
            "argument .* for 3 rows",
        ),
        (patch(Site.Z, jnp.nan), "NaN in its value where its weight is not 0"),
        (
            patch(Site.MLP_IN, np.array([1.0, np.nan] * 5).reshape(1, 1, 1, 10)),
            "NaN in its value",
        ),
    ],
    ids=str,
)
def test_an_edit_that_does_not_fit_is_refused(edit: Edit, message: str):
    with pytest.raises(ValueError, match=message):
        _check(edit)


def test_nan_where_the_weight_is_zero_is_no_error():
    weight = np.array([1.0, 0.0] * 5).reshape(1, 1, 1, 10)
    value = np.where(weight == 0, np.nan, 1.0)
    _check(patch(Site.MLP_IN, value, weight=weight))


def test_nan_in_a_head_that_is_not_selected_is_no_error():
    value = np.zeros((1, 1, 1, 2, 4, 6))
    value[..., 1, 2, 0] = np.nan  # head 6
    _check(patch(Site.Z, value, heads=[[5], [7]]))
    with pytest.raises(ValueError, match="NaN in its value"):
        _check(patch(Site.Z, value, heads=[[5], [6]]))


def test_what_is_no_edit_or_capture_is_refused():
    edits = (patch(Site.Z, 0.0), patch(Site.K, 0.0))
    with pytest.raises(ValueError, match="as an edit; give Edits .*unpack several"):
        as_edits([edits])
    with pytest.raises(ValueError, match="3 as a capture; give a Site"):
        as_captures([3])  # pyright: ignore[reportArgumentType]


def test_minus_infinity_is_a_score_like_any_other():
    _check(patch(Site.SCORES, -jnp.inf, heads=[1], keys=[0]))


def test_tokens_are_whole_numbers():
    with pytest.raises(ValueError, match="tokens have type float32; give whole"):
        as_tokens(jnp.zeros((1, 3)))


def _heads(*heads: int, **where) -> Edit:
    return patch(Site.Z, 0.0, heads=heads, **where)


ONE_HOT = np.eye(8, dtype=np.float32).reshape(8, 1, 1, 1, 2, 4, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_heads(1, 2), _heads(2, 3)),
        (_heads(1), patch(Site.Z, 1.0)),
        (_heads(1), patch(Site.Z, 1.0, weight=ONE_HOT[1])),
        (_heads(1, positions=[2, 3]), _heads(1, positions=[[0], [3]])),
        (_heads(1, layers=[0, 2]), _heads(1, layers=[2, 1])),
        (_heads(1), patch(Site.Z, 1.0, positions=[4])),
    ],
    ids=["heads", "all", "mask", "positions", "layers", "one position"],
)
def test_two_patches_of_one_place_are_refused(one: Edit, other: Edit):
    message = "two patches of Site.Z in layer . meet: patch z of .* Only the later"
    for pair in ((one, other), (other, one)):
        with pytest.raises(ValueError, match=message):
            _check(*pair)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_heads(1), _heads(2)),
        (_heads(1, layers=[0]), _heads(1, layers=[1])),
        (_heads(1), patch(Site.Z, 1.0, weight=ONE_HOT[2])),
        (_heads(1), _heads(1, weight=0.5)),
        (_heads(1), add(Site.Z, 1.0, heads=[1])),
        (_heads(1), scale(Site.Z, 2.0)),
        (_heads(1, positions=[[1], [2]]), _heads(1, positions=[[2], [1]])),
        (
            patch(Site.PATTERN, 0.0, positions=[3], keys=[1]),
            patch(Site.PATTERN, 0.0, positions=[3], keys=[2]),
        ),
        (
            patch(Site.MLP_POST, 0.0, neurons=[0]),
            patch(Site.MLP_PRE, 0.0, neurons=[0]),
        ),
    ],
)
def test_edits_that_do_not_meet_or_that_compose_are_fine(one: Edit, other: Edit):
    _check(one, other)


def test_conflicts_of_edits_made_outside_are_found_inside_jit():
    edits = (_heads(1), _heads(1, 2))

    @jax.jit
    def run(tokens):
        check_inputs(tokens, edits, (), CONFIG)

    with pytest.raises(ValueError, match="two patches of Site.Z"):
        run(TOKENS)


def _checked(heads, layer, position, value):
    edit = patch(Site.Z, value, heads=heads, layers=layer, positions=position)
    check_traced([edit], (2, 5), config=CONFIG)
    return value


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, None),
        ({"heads": 8}, "heads of an edit of Site.Z are not all from 0 to 7"),
        ({"layer": -1}, "layers of an edit .* 0 to 2"),
        ({"position": 5}, "positions of an edit .* 0 to 4"),
        ({"value": np.nan}, "has NaN in what it selects"),
    ],
)
def test_traced_values_are_checked_when_they_are_known(bad: dict, message: str | None):
    arguments = {"heads": 7, "layer": 2, "position": 4, "value": 1.0} | bad
    run = checkify.checkify(jax.jit(_checked))
    error, _ = run(*arguments.values())
    if message is None:
        error.throw()
    else:
        with pytest.raises(checkify.JaxRuntimeError, match=message):
            error.throw()
