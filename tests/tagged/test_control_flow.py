"""Named values in branches, loops of unknown length, and functions with own rules."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from mcq_jax import tagged


def branching(x):
    return jax.lax.cond(
        x > 0, lambda x: checkpoint_name(2 * x, "positive") + 1, lambda x: -x, x
    )


def halving(x):
    """Halves until below 1."""
    return jax.lax.while_loop(
        lambda x: x >= 1, lambda x: checkpoint_name(x / 2, "half"), x
    )


@jax.custom_jvp
def with_own_rule(x):
    return checkpoint_name(x * x, "square")


with_own_rule.defjvp(lambda x, dx: (x[0] * x[0], 7 * dx[0]))


@jax.custom_vjp
def with_own_backward(x):
    return checkpoint_name(x * x, "square")


with_own_backward.defvjp(lambda x: (x * x, None), lambda _, dx: (7 * dx,))
every_rule = pytest.mark.parametrize("rule", [with_own_rule, with_own_backward])


@pytest.mark.parametrize("x, value, output", [(3.0, 6.0, 7.0), (-3.0, 0.0, 3.0)])
def test_a_branch_not_taken_is_zero_and_not_reached(x, value, output):
    found = jax.jit(partial(tagged.run, branching, capture=["positive"]))(x)
    assert found.output == output
    assert found.captured["positive"] == value
    assert found.reached["positive"] == (x > 0)


def test_each_row_of_a_batch_has_its_own_branch():
    def run(x, amount):
        edits = [tagged.add("positive", amount)]
        return tagged.run(branching, x, edits=edits, capture=["positive"])

    found = jax.vmap(run)(jnp.asarray([3.0, -3.0, 1.0]), jnp.asarray([10.0, 10.0, 0.0]))
    np.testing.assert_array_equal(found.output, [17, 3, 3])
    np.testing.assert_array_equal(found.captured["positive"], [16, 0, 2])
    np.testing.assert_array_equal(found.reached["positive"], [True, False, True])


def test_branches_of_a_switch_in_a_loop():
    def model(x):
        kinds = jnp.asarray([0, 1, 0, 2])
        branches = [
            lambda x: checkpoint_name(x + 1, "more"),
            lambda x: checkpoint_name(x * 2, "twice"),
            lambda x: x,
        ]
        step = lambda x, kind: (jax.lax.switch(kind, branches, x), None)  # noqa: E731
        return jax.lax.scan(step, x, kinds)[0]

    edits = [tagged.add("more", 10.0, layers=2)]
    found = jax.jit(partial(tagged.run, model, edits=edits, capture=["more", "twice"]))(
        1.0
    )
    assert found.output == 15
    np.testing.assert_array_equal(found.captured["more"], [2, 0, 15, 0])
    np.testing.assert_array_equal(found.reached["more"], [True, False, True, False])
    np.testing.assert_array_equal(found.captured["twice"], [0, 4, 0, 0])


def test_a_while_gives_the_last_value_and_whether_there_was_one():
    run = jax.jit(partial(tagged.run, halving, capture=["half"]))
    found = run(10.0)
    assert found.captured["half"] == 0.625 and found.reached["half"]
    found = run(0.5)
    assert found.captured["half"] == 0 and not found.reached["half"]


@pytest.mark.parametrize("max_steps", [2, 6])
def test_a_while_fills_max_steps_with_what_there_is(max_steps):
    run = partial(tagged.run, halving, capture=["half"], max_steps=max_steps)
    found = jax.jit(run)(10.0)
    steps = np.asarray([5, 2.5, 1.25, 0.625, 0, 0], "float32")
    np.testing.assert_array_equal(found.captured["half"], steps[:max_steps])
    np.testing.assert_array_equal(found.reached["half"], (steps > 0)[:max_steps])


def test_one_step_of_a_while_is_edited():
    edits = [tagged.add("half", 100.0, layers=1)]
    run = partial(tagged.run, halving, edits=edits, capture=["half"], max_steps=9)
    found = jax.jit(run)(10.0)
    steps = [5.0, 102.5, 51.25, 25.625, 12.8125, 6.40625, 3.203125, 1.6015625]
    np.testing.assert_array_equal(found.captured["half"][:8], steps)


def test_a_batch_of_whiles_each_with_its_own_length():
    run = partial(tagged.run, halving, capture=["half"], max_steps=3)
    found = jax.vmap(run)(jnp.asarray([1.0, 0.5, 4.0]))
    np.testing.assert_array_equal(
        found.captured["half"], [[0.5, 0, 0], [0, 0, 0], [2, 1, 0.5]]
    )


def test_loops_within_loops_count_the_inner_one_fastest():
    def model(x):
        def inner(x, number):
            return checkpoint_name(x + number, "sum"), None

        def outer(x, row):
            return jax.lax.scan(inner, x, row)[0], None

        return jax.lax.scan(outer, x, jnp.arange(6.0).reshape(2, 3), reverse=True)[0]

    (site,) = tagged.sites(model, 0.0)
    assert site.loops == (2, 3) and site.layers() == 6
    run = partial(tagged.run, model, 0.0)
    found = jax.jit(partial(run, capture=["sum"]))().captured["sum"]
    np.testing.assert_array_equal(found, [12, 13, 15, 3, 7, 12])  # the last row first
    wish = tagged.TagCapture(name="sum", layers=(4, 2))
    edits = [tagged.add("sum", 100.0, layers=-1)]
    part = jax.jit(partial(run, edits=edits, capture=[wish]))().captured["sum"]
    np.testing.assert_array_equal(part, [7, 115])


def test_a_while_within_a_scan_keeps_its_steps_to_itself():
    def model(xs):
        return jax.lax.map(halving, xs)

    run = partial(tagged.run, model, jnp.asarray([8.0, 0.5, 2.0]), capture=["half"])
    found = jax.jit(partial(run, max_steps=2))()
    np.testing.assert_array_equal(found.captured["half"], [4, 2, 0, 0, 1, 0.5])
    np.testing.assert_array_equal(found.reached["half"], [1, 1, 0, 0, 1, 1])
    np.testing.assert_array_equal(jax.jit(run)().captured["half"], [0.5, 0, 0.5])


@every_rule
def test_a_rule_without_wishes_inside_stays_intact(rule):
    def model(x):
        return rule(checkpoint_name(x, "before"))

    def loss(amount):
        edits = [tagged.add("before", amount)]
        return tagged.run(model, 3.0, edits=edits).output

    assert jax.grad(loss)(0.0) == 7  # not 6, which is the derivative of the square


@every_rule
def test_a_wish_inside_of_a_rule_runs_forward_only(rule):
    def loss(x, amount):
        edits = [tagged.add("square", amount)]
        found = tagged.run(rule, x, edits=edits, capture=["square"])
        return found.output + found.captured["square"]

    assert jax.jit(loss)(3.0, 1.0) == 20
    for argument in (0, 1):
        with pytest.raises(NotImplementedError, match="own rule|author's rule"):
            jax.grad(loss, argument)(3.0, 1.0)


def test_what_does_not_pass_through_such_a_rule_keeps_its_gradient():
    def loss(x, y):
        edits = [tagged.add("square", 1.0)]
        return tagged.run(
            lambda x, y: with_own_rule(x) + y * y, x, y, edits=edits
        ).output

    assert jax.grad(loss, 1)(jnp.float32(3.0), jnp.float32(2.0)) == 4


def test_the_condition_of_a_while_is_only_listed():
    def model(x):
        return jax.lax.while_loop(
            lambda x: checkpoint_name(x, "seen") >= 1, lambda x: x / 2, x
        )

    (site,) = tagged.sites(model, 4.0)
    assert site.refused
    with pytest.raises(ValueError, match="condition of while.*only its verdict"):
        tagged.run(model, 4.0, capture=["seen"])


def test_a_shard_map_is_only_listed_and_still_runs():
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec("rows")

    @partial(jax.shard_map, mesh=mesh, in_specs=rows, out_specs=rows)
    def inside(x):
        return checkpoint_name(x + 1, "sharded")

    def model(x):
        return checkpoint_name(inside(x) * 2, "after")

    listed, after = tagged.sites(model, jnp.ones(2))
    assert "shard_map" in str(listed) and not after.refused
    found = jax.jit(partial(tagged.run, model, capture=["after"]))(jnp.ones(2))
    np.testing.assert_array_equal(found.captured["after"], [4, 4])
    with pytest.raises(ValueError, match="do not enter shard_map"):
        tagged.run(model, jnp.ones(2), edits=[tagged.add("sharded", 1.0)])


def test_shardings_of_an_inner_jit_are_kept():
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))

    def model(x):
        return checkpoint_name(x + 1, "next")

    for inner in (
        jax.jit(model, in_shardings=rows),
        jax.jit(model, out_shardings=rows),
    ):
        found = tagged.run(inner, jnp.ones(2), capture=["next"])
        np.testing.assert_array_equal(found.captured["next"], [2, 2])
        assert getattr(found.output.sharding, "mesh", None) == mesh
