"""Kinds and selections of edits, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from mcq_jax import tagged
from mcq_jax.interventions import projections
from tests.tagged import models

X = jnp.arange(6.0).reshape(2, 3)


def model(x):
    return checkpoint_name(x, "value") * 1


def counting(x):
    y = checkpoint_name(jnp.arange(3), "count")
    return x + y.sum().astype(x.dtype)


@pytest.mark.parametrize(
    "edit, expected",
    [
        (tagged.patch("value", 9.0), [[9, 9, 9], [9, 9, 9]]),
        (tagged.patch("value", 9.0, weight=0.5), [[4.5, 5, 5.5], [6, 6.5, 7]]),
        (tagged.add("value", jnp.ones((1, 3)), weight=2.0), [[2, 3, 4], [5, 6, 7]]),
        (tagged.scale("value", -1.0, axis=0, indices=1), [[0, 1, 2], [-3, -4, -5]]),
        (
            tagged.patch("value", jnp.asarray([[7.0, 8], [9, 10]]), axis=-1,
                         indices=[-1, 0]),
            [[8, 1, 7], [10, 4, 9]],
        ),
        (
            tagged.patch("value", 9.0, weight=jnp.asarray([[0.0, 1, 0]])),
            [[0, 9, 2], [3, 9, 5]],
        ),
        (
            tagged.apply("value", projections.onto_basis, jnp.asarray([[0.0, 1, 0]]),
                         0.0),
            [[0, 1, 0], [0, 4, 0]],
        ),
        (tagged.apply("value", jnp.negative, axis=0, indices=0),
         [[0, -1, -2], [3, 4, 5]]),
    ],
)  # fmt: skip
def test_edits_computed_by_hand(edit, expected):
    np.testing.assert_array_equal(tagged.run(model, X, edits=[edit]).output, expected)


def test_edits_of_one_value_apply_in_the_order_given():
    more, twice = tagged.add("value", 1.0), tagged.scale("value", 2.0)
    found = tagged.run(model, X, edits=[more, twice], capture=["value"])
    np.testing.assert_array_equal(found.output, 2 * (X + 1))
    np.testing.assert_array_equal(found.captured["value"], found.output)
    swapped = tagged.run(model, X, edits=[twice, more]).output
    np.testing.assert_array_equal(swapped, 2 * X + 1)


def test_a_part_out_of_range_behind_jit_changes_nothing_there():
    """Behind `jit` it cannot be refused; then it must not land somewhere else."""

    @jax.jit
    def run(edit):
        return tagged.run(model, X, edits=[edit]).output

    edit = tagged.patch("value", 9.0, axis=1, indices=[1])
    for index in (3, -4, 100):
        outside = jax.tree.map(lambda leaf: leaf, edit)
        object.__setattr__(outside, "indices", jnp.asarray([index], jnp.int32))
        np.testing.assert_array_equal(run(outside), X)
        with pytest.raises(
            ValueError, match=f"indices .* include {index}; there are 3"
        ):
            tagged.check(model, X, edits=[outside])


def _scanned(**wishes):
    weights, x = models.parameters(), models.inputs()
    return tagged.check(models.scanned, weights, x, **wishes)


@pytest.mark.parametrize(
    "edit, message",
    [
        (tagged.add("residd", 1.0), "called 'residd'; did you mean 'resid'"),
        (tagged.add("resid", 1.0, layers=3), "include 3; there are 3: 0 to 2"),
        (tagged.add("resid", 1.0, layers=[0, -3]), "one comes twice"),
        (tagged.add("resid", jnp.ones(4)), r"value .* shape \(4,\); .* shape \(2, 4\)"),
        (tagged.add("resid", jnp.ones((2, 2, 4)), layers=[0]), "an axis of 1 layers"),
        (tagged.add("resid", jnp.ones((2, 2, 4))), "an axis of 3 layers in front"),
        (tagged.add("resid", 1.0, weight=jnp.ones(3)), "weight .* shape"),
        (tagged.add("resid", 1.0, axis=2, indices=0), "along axis 2 of shape"),
        (tagged.add("resid", 1.0, axis=1, indices=4), "include 4; there are 4"),
        (tagged.add("resid", 1j), "value .* is complex; the value is float32"),
        (tagged.patch("resid", jnp.nan), "not finite where its weight is not 0"),
    ],
)  # fmt: skip
def test_an_edit_that_cannot_be_meant_is_refused(edit, message):
    with pytest.raises(ValueError, match=message):
        _scanned(edits=[edit])


def test_a_source_that_is_not_finite_passes_the_check_at_weight_zero():
    _scanned(edits=[tagged.patch("resid", jnp.nan, weight=0.0)])


@pytest.mark.parametrize(
    "capture, message",
    [
        (["hiden"], "did you mean 'hidden'"),
        (["hidden", "hidden"], "captured twice"),
        ("hidden", r"give a list: \['hidden'\]"),
        ([tagged.TagCapture(name="hidden", layers=())], "selects nothing"),
        ([tagged.TagCapture(name="hidden", layers=(5,))], "include 5"),
        ([tagged.TagCapture(name="hidden", axis=0)], "both axis and indices"),
    ],
)
def test_a_capture_that_cannot_be_meant_is_refused(capture, message):
    with pytest.raises(ValueError, match=message):
        _scanned(capture=capture)


@pytest.mark.parametrize("where", [{"layers": []}, {"axis": 0, "indices": []}])
def test_an_edit_that_selects_nothing_is_refused(where):
    with pytest.raises(ValueError, match="selects nothing"):
        tagged.add("resid", 1.0, **where)


def test_half_a_selection_is_refused():
    with pytest.raises(ValueError, match="give both"):
        tagged.add("resid", 1.0, axis=0)
    with pytest.raises(ValueError, match="give a whole number"):
        tagged.add("resid", 1.0, layers=jnp.asarray([0.5]))


def test_layers_of_a_value_in_no_loop_are_refused():
    with pytest.raises(ValueError, match="in no loop; leave them out"):
        tagged.run(model, X, edits=[tagged.add("value", 1.0, layers=0)])


def test_steps_of_a_while_need_max_steps():
    def looping(x):
        return jax.lax.while_loop(
            lambda x: x < 3, lambda x: checkpoint_name(x + 1, "step"), x
        )

    edits = [tagged.add("step", 1.0, layers=0)]
    with pytest.raises(ValueError, match="while loop; give max_steps"):
        tagged.run(looping, 0.0, edits=edits)


def test_whole_numbers_may_be_seen_but_not_edited():
    found = tagged.run(counting, jnp.float32(0.0), capture=["count"])
    np.testing.assert_array_equal(found.captured["count"], [0, 1, 2])
    with pytest.raises(ValueError, match="only floating-point values"):
        tagged.run(counting, jnp.float32(0.0), edits=[tagged.add("count", 1.0)])


def test_a_repeated_name_alone_asks_which():
    with pytest.raises(ValueError, match=r"3 values.*'resid\[0\]' to 'resid\[2\]'"):
        tagged.run(
            models.unrolled, models.parameters(), models.inputs(), capture=["resid"]
        )


def test_a_function_without_names_says_how_to_give_some():
    with pytest.raises(ValueError, match="checkpoint_name.*tag_haiku"):
        tagged.run(jnp.sin, X, capture=["anything"])
