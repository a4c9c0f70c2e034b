"""Int8 weights: what is stored, what comes back, and what it costs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import checkpoints, model
from mcq_jax.model import Int8Weight, dequantise
from tests.checkpoints import files
from tests.checkpoints.test_shardings import run

TOKENS = jnp.asarray([[3, 14, 15, 9, 2, 6]])


@pytest.fixture
def path(tmp_path):
    weights = files.random_weights("llama")
    return files.write_gguf(tmp_path / "m.gguf", weights, "llama")


def loaded(path, **options) -> checkpoints.Checkpoint:
    return checkpoints.load(path, sizes=(2,), **options)


def is_int8(leaf) -> bool:
    return isinstance(leaf, Int8Weight)


def test_every_weight_is_within_half_a_step_of_the_stored_one(path):
    full, narrow = loaded(path).parameters, loaded(path, weights="int8").parameters
    inputs = {"output": (1, 2, 3), "down": (1,)}
    count = 0
    for part in ("attention", "feedforward"):
        for name, weight in full.layers[0][part].items():
            kept: Any = narrow.layers[0][part][name]
            if name.endswith("gain"):
                np.testing.assert_array_equal(kept, weight)
                continue
            count += 1
            assert kept.values.dtype == jnp.int8 and kept.values.shape == weight.shape
            largest = np.abs(weight).max(inputs.get(name, (-1,)), keepdims=True)
            np.testing.assert_allclose(kept.scale, largest / 127, rtol=1e-6)
            error = np.abs(np.asarray(dequantise(kept)) - weight)
            assert (error <= largest / 127 * 0.5001).all()
    assert count == 7
    jax.tree.map(np.testing.assert_array_equal, narrow.embed, full.embed)


def test_a_pass_is_that_of_the_weights_they_stand_for(path):
    narrow = loaded(path, weights="int8")
    wide = dequantise(narrow.parameters)
    ours, theirs = (
        model.forward(p, TOKENS, config=narrow.config).logits
        for p in (narrow.parameters, wide)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    plain = model.forward(loaded(path).parameters, TOKENS, config=narrow.config).logits
    error = float(jnp.abs(ours - plain).max())
    assert 0 < error < 0.05 * float(jnp.abs(plain).max())


@pytest.mark.parametrize("sizes", [(2,), (1, 1)])
def test_segments_and_types_agree(path, sizes):
    stacked = loaded(path, weights="int8", dtype="bfloat16")
    other = checkpoints.load(path, weights="int8", dtype="bfloat16", sizes=sizes)
    ours, theirs = (
        model.forward(c.parameters, TOKENS, config=c.config).logits
        for c in (stacked, other)
    )
    np.testing.assert_array_equal(ours, theirs)
    kept = stacked.parameters.layers[0]["feedforward"]["up"]
    assert dequantise(kept).dtype == jnp.bfloat16


@pytest.mark.few
@pytest.mark.parametrize("sizes", [(8,), (1,)])  # a scan; one step of the host loop
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_more_than_two_layers_are_wide_at_once(sizes, dtype):
    config = model.ModelConfig(
        layers=sum(sizes), width=256, kv_heads=4, group=1, head_width=64, neurons=1024,
        vocabulary=64, context=64, rotary_width=64,
    )  # fmt: skip

    def narrow(leaf):
        if leaf.ndim < 3:
            return leaf.astype(dtype)
        scale = jnp.ones((leaf.shape[0], *(1,) * (leaf.ndim - 2), leaf.shape[-1]))
        values = jnp.ones(leaf.shape, jnp.int8)
        return Int8Weight(values=values, scale=scale, dtype=dtype)

    def made():
        wide = model.initialise(config, jax.random.key(0), sizes=sizes)
        parameters = jax.tree.map(lambda leaf: leaf.astype(dtype), wide)
        return parameters._replace(layers=jax.tree.map(narrow, wide.layers))

    parameters = jax.eval_shape(made)  # shapes are all that a compiler wants
    run_all = jax.jit(lambda p, t: model.forward(p, t, config=config).logits)
    compiled = run_all.lower(parameters, TOKENS).compile()
    numbers = 4 * 256 * 256 + 3 * 256 * 1024
    two_layers = 2 * numbers * jnp.dtype(dtype).itemsize
    memory = compiled.memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes < two_layers


SCRIPT = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from mcq_jax import load

mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)

def split(shapes):
    def one(leaf):
        spec = [None] * leaf.ndim
        for name, size in mesh.shape.items():
            fits = [i for i in range(leaf.ndim)
                    if spec[i] is None and leaf.shape[i] % size == 0]
            if fits:
                spec[fits[-1]] = name
        return NamedSharding(mesh, PartitionSpec(*spec))
    return jax.tree.map(one, shapes)

def same(a, b):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))

plain = load(sys.argv[1], sizes=(2,), weights="int8").parameters
found = load(sys.argv[1], sizes=(2,), weights="int8", shardings=split).parameters
jax.tree.map(same, plain, found)
assert not found.layers[0]["feedforward"]["up"].values.is_fully_replicated
print("equal")
"""


@pytest.mark.slow
def test_split_int8_weights_are_the_unsplit_ones(path):
    assert run("-c", SCRIPT, str(path)) == "equal\n"


def test_what_int8_weights_cannot_do_is_said(path, tmp_path):
    with pytest.raises(ValueError, match="weights is 'int4'"):
        loaded(path, weights="int4")
    with pytest.raises(ValueError, match="int8 weights are not saved"):
        checkpoints.save_checkpoint(tmp_path / "s", loaded(path, weights="int8"))
    checkpoints.save_checkpoint(tmp_path / "full", loaded(path))
    with pytest.raises(ValueError, match="give the one that it was converted from"):
        loaded(tmp_path / "full", weights="int8")
