"""What must hold around every construct that a named value can stand in."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from jax.test_util import check_grads

from mcq_jax import tagged
from mcq_jax.tagged import program
from tests.tagged import models

# The same sums in another order, in float32.
assert_close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
every_loop = pytest.mark.parametrize("name", models.LOOPED)
every_loop_and_dtype = pytest.mark.parametrize(
    "name, dtype",
    [*((name, "float32") for name in models.LOOPED), ("all at once", "bfloat16")],
)
SHAPE = (models.ROWS, models.HIDDEN)


@every_loop_and_dtype
def test_without_wishes_the_function_is_itself_bit_for_bit(name: str, dtype: str):
    function, arguments = models.LOOPED[name], _arguments(dtype)
    found = jax.jit(partial(tagged.run, function))(*arguments)
    np.testing.assert_array_equal(found.output, jax.jit(function)(*arguments))
    assert found.captured == {}


@every_loop_and_dtype
def test_zero_weight_changes_no_bit(name: str, dtype: str):
    """Of one program; the bare function is another, which XLA may sum otherwise."""
    function, arguments = models.LOOPED[name], _arguments(dtype)
    program = jax.jit(partial(tagged.run, function))
    found = program(*arguments, edits=_some_edits(weight=0.0)).output
    other = program(*arguments, edits=_some_edits(weight=0.0, seed=17)).output
    np.testing.assert_array_equal(found, other)
    plain = jax.jit(function)(*arguments)
    rounding = 1e-6 if dtype == "float32" else 1e-2  # of the largest, a few steps
    found, plain = (np.asarray(a, np.float32) for a in (found, plain))
    atol = rounding * np.abs(plain).max()
    np.testing.assert_allclose(found, plain, rtol=0, atol=atol)


def test_zero_weight_and_no_wishes_change_no_bit_without_jit():
    function, arguments = models.unrolled, _arguments()
    edits = [tagged.patch("resid[1]", jnp.nan, weight=0.0)]
    for wishes, names in (((), ()), (edits, ()), ((), ["hidden[0]"])):
        found = tagged.run(function, *arguments, edits=wishes, capture=names).output
        np.testing.assert_array_equal(found, function(*arguments))


@pytest.mark.parametrize("build", [tagged.patch, tagged.add, tagged.scale])
def test_a_source_that_is_not_finite_is_harmless_at_weight_zero(build):
    arguments = _arguments()
    edits = [build("resid", jnp.nan, weight=0.0)]
    found = _run("scan", *arguments, edits=edits).output
    np.testing.assert_array_equal(found, jax.jit(models.scanned)(*arguments))


@every_loop
def test_a_capture_is_the_value_computed_by_hand(name: str):
    found = _run(name, *_arguments(), capture=["hidden", "resid"])
    for site, expected in models.by_hand(*_arguments()).items():
        assert_close(found.captured[site], expected)
        assert found.reached[site].all() and found.reached[site].shape == (3,)


@every_loop
def test_a_capture_of_a_part_is_that_part_of_the_whole(name: str):
    wish = tagged.TagCapture(name="hidden", layers=(2, 0), axis=-1, indices=[4, 1, -2])
    part = _run(name, *_arguments(), capture=[wish]).captured["hidden"]
    whole = models.by_hand(*_arguments())["hidden"]
    expected = np.asarray(whole)[[2, 0]][..., [4, 1, 3]]
    assert_close(part, expected)


@every_loop
def test_edits_in_a_loop_are_those_of_the_loop_written_out(name: str):
    edits = _some_edits()
    found = _run(name, *_arguments(), edits=edits, capture=["resid"])
    written_out = [
        tagged.patch("hidden[0]", edits[0].value[0]),
        tagged.patch("hidden[2]", edits[0].value[1]),
        tagged.add("resid[1]", edits[1].value),
        tagged.scale("hidden[1]", 3.0, axis=1, indices=[0, -1]),
    ]
    names = [f"resid[{layer}]" for layer in range(models.LAYERS)]
    expected = _run("unrolled", *_arguments(), edits=written_out, capture=names)
    assert_close(found.output, expected.output)
    stacked = jnp.stack([expected.captured[name] for name in names])
    assert_close(found.captured["resid"], stacked)
    assert not np.allclose(found.output, models.scanned(*_arguments()))


@every_loop_and_dtype
def test_a_full_patch_is_the_source(name: str, dtype: str):
    weights, x = _arguments(dtype)
    other = models.inputs(seed=9, dtype=dtype)
    source = _run(name, weights, other, capture=["resid"])
    edits = [tagged.patch("resid", source.captured["resid"])]
    found = _run(name, weights, x, edits=edits, capture=["resid"])
    np.testing.assert_array_equal(found.captured["resid"], source.captured["resid"])
    np.testing.assert_array_equal(found.output, source.output)


@every_loop
def test_vmap_over_edits_is_a_loop(name: str):
    single = tagged.patch("hidden", 0.0, axis=-1, indices=[0, 1], layers=0)
    batch = tagged.TagEdit(
        name=single.name,
        kind=single.kind,
        axis=single.axis,
        layers=jnp.asarray([[0], [2], [1]], jnp.int32),
        indices=jnp.asarray([[1, 2], [0, 4], [3, 1]], jnp.int32),
        weight=jnp.asarray([1.0, 0.5, 0.0]),
        value=models.random(3, models.ROWS, 2, seed=4),
    )

    @jax.jit
    def run_one(edit):
        function = models.LOOPED[name]
        return tagged.run(function, *_arguments(), edits=[edit], capture=["resid"])

    together = jax.vmap(run_one)(batch)
    for row in range(3):
        alone, chosen = (
            run_one(jax.tree.map(lambda leaf: leaf[row], batch)),  # noqa: B023
            jax.tree.map(lambda leaf: leaf[row], together),  # noqa: B023
        )
        jax.tree.map(assert_close, chosen, alone)


@pytest.mark.parametrize("name", ["scan", "all at once"])
def test_gradients_are_finite_differences(name: str):
    """With respect to weight (at 0 too), source and parameters, captures included."""
    with jax.enable_x64(True):
        weights, x = _arguments("float64")
        source = models.random(*SHAPE, seed=5, dtype="float64")

        @jax.jit
        def loss(amount, source, weights):
            edits = [
                tagged.patch("hidden", source, layers=1, weight=amount),
                tagged.add("resid", source[..., :1], layers=0, weight=amount),
            ]
            found = _run(name, weights, x, edits=edits, capture=["resid"])
            return found.output.sum() + (found.captured["resid"] ** 2).sum()

        for amount in (0.0, 0.5):
            point = jnp.float64(amount), source, weights
            check_grads(loss, point, order=1, modes=["rev"], rtol=1e-5, eps=1e-5)


@pytest.mark.few
@every_loop
def test_gradients_through_remat_are_those_without_it(name: str):
    @partial(jax.jit, static_argnums=1)
    @jax.grad
    def gradient(weights, name):
        return _run(name, weights, x, edits=_some_edits(0.7)).output.sum()

    weights, x = _arguments()
    found, expected = gradient(weights, name), gradient(weights, "scan")
    jax.tree.map(assert_close, found, expected)


def test_remat_stays_remat_with_its_policy():
    """Edited or not, the same values are saved for the backward pass."""

    def saved(name, edits):
        def loss(weights, x):
            return _run(name, weights, x, edits=edits).output.sum()

        _, backward = jax.vjp(loss, *_arguments())
        return sorted(leaf.shape for leaf in jax.tree.leaves(backward) if leaf.ndim > 2)

    edits = [tagged.add("resid", 1.0, layers=1)]
    for name in ("scan of remat", "remat with a policy"):
        assert saved(name, edits) == saved(name, [])
    assert saved("scan of remat", edits) != saved("remat with a policy", edits)


def test_one_compiled_program_serves_all_values():
    traces = []

    @jax.jit
    def run(weights, x, edits):
        traces.append(None)
        return tagged.run(models.scanned, weights, x, edits=edits, capture=["hidden"])

    outputs = []
    for layer, weight in ((0, 0.0), (1, 0.5), (2, 1.0)):
        source = models.random(models.ROWS, models.WIDTH, seed=layer)
        edit = tagged.patch("resid", source, layers=layer, weight=weight)
        outputs.append(run(*_arguments(), [edit]).output)
    assert len(traces) == 1
    assert not np.allclose(outputs[1], outputs[2])


def test_a_jitted_model_is_compiled_once_even_when_run_by_hand():
    traces = []

    @jax.jit
    def model(x):
        traces.append(None)
        return models.unrolled(models.parameters(), x)

    compiled = program.compiled_with(())
    before = compiled._cache_size()
    for value in (1.0, 2.0, 3.0):
        edits = [tagged.patch("resid[0]", value)]
        tagged.run(model, models.inputs(), edits=edits)
    assert len(traces) == 1
    assert compiled._cache_size() == before + 1


def test_runs_compose():
    """Interventions on a function with interventions: the inner edit comes first."""

    def edited(*arguments):
        return tagged.run(models.scanned, *arguments, edits=[inner]).output

    inner = tagged.add("resid", 1.0, layers=0)
    outer = tagged.scale("resid", 2.0, layers=0)
    run = partial(tagged.run, capture=["resid"])
    found = run(edited, *_arguments(), edits=[outer])
    expected = run(models.scanned, *_arguments(), edits=[inner, outer])
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_scopes_keep_their_names_for_profiles():
    def model(x):
        with jax.named_scope("block"):
            return jnp.tanh(checkpoint_name(x, "value"))

    run = jax.jit(lambda x: tagged.run(model, x, edits=[tagged.add("value", 1.0)]))
    program_text = run.lower(jnp.ones(2)).as_text(debug_info=True)
    assert "block/tanh" in program_text


def test_only_what_is_asked_is_stored():
    """A capture of one layer costs the bytes of one layer, not of all."""
    width, layers = 256, 32

    def model(x):
        def step(x, weight):
            return checkpoint_name(jnp.tanh(x + weight), "resid"), None

        return jax.lax.scan(step, x, jnp.zeros((layers, 1, 1)))[0].sum()

    def memory(capture):
        run = jax.jit(lambda x: tagged.run(model, x, capture=capture))
        analysis = run.lower(jnp.ones((width, width))).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes + analysis.output_size_in_bytes

    one_value = 4 * width * width
    plain = memory([])
    assert (
        memory([tagged.TagCapture(name="resid", layers=(3,))]) < plain + 4 * one_value
    )
    assert memory(["resid"]) >= plain + layers * one_value


def _arguments(dtype: str = "float32"):
    return models.parameters(dtype), models.inputs(dtype=dtype)


def _run(name, *arguments, edits=(), capture=()):
    """`run` in one program, as most will use it."""
    function = models.unrolled if name == "unrolled" else models.LOOPED[name]
    run = jax.jit(lambda edits, *args: tagged.run(
        function, *args, edits=edits, capture=capture
    ))  # fmt: skip
    return run(edits, *arguments)


def _some_edits(weight=1.0, seed=7):
    direction = models.random(models.ROWS, models.WIDTH, seed=seed + 1)
    return (
        tagged.patch("hidden", models.random(2, *SHAPE, seed=seed), layers=[0, 2],
                     weight=weight),
        tagged.add("resid", direction, layers=1, weight=weight),
        tagged.scale("hidden", 3.0, layers=1, axis=1, indices=[0, -1], weight=weight),
    )  # fmt: skip
