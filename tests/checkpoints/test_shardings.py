"""Parameters arrive where they are sent, and are the same numbers there."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from mcq_jax import checkpoints, model
from tests import programs
from tests.checkpoints import files

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*command: str, devices: int = 8) -> str:
    """Runs Python in a process of its own with pretended devices."""
    flags = programs.flags_for(devices)
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Splits every leaf along axes drawn at random, five times over, and compares.
SCRIPT = """
import random, sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from mcq_jax import load

mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)

def splits(generator, shapes):
    def one(leaf):
        spec = [None] * leaf.ndim
        for name, size in mesh.shape.items():
            fits = [i for i in range(leaf.ndim)
                    if spec[i] is None and leaf.shape[i] % size == 0]
            if fits and generator.random() < 0.8:
                spec[generator.choice(fits)] = name
        return NamedSharding(mesh, PartitionSpec(*spec))
    return jax.tree.map(one, shapes)

same = lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
for path in sys.argv[1:]:
    for sizes in ((1, 1), (2,)):
        plain = load(path, sizes=sizes).parameters
        for seed in range(5):
            asked = []
            def choose(shapes):
                asked.append(splits(random.Random(seed), shapes))
                return asked[0]
            found = load(path, sizes=sizes, shardings=choose).parameters
            jax.tree.map(same, plain, found)
            assert jax.tree.map(lambda x: x.sharding, found) == asked[0]
    everywhere = NamedSharding(mesh, PartitionSpec())
    found = load(path, shardings=everywhere).parameters
    assert {x.sharding for x in jax.tree.leaves(found)} == {everywhere}
print("equal")
"""


def test_split_parameters_are_the_unsplit_ones(tmp_path):
    weights = files.random_weights("llama")
    gguf = files.write_gguf(tmp_path / "m.gguf", weights, "llama")
    qwen = files.random_weights("qwen2")
    folder = files.write_folder(tmp_path / "m", qwen, files.config("qwen2"))
    assert run("-c", SCRIPT, str(gguf), str(folder)).endswith("equal\n")


def test_a_branch_can_be_left_on_the_default_device(tmp_path):
    weights = files.random_weights("llama")
    folder = files.write_folder(tmp_path / "m", weights, files.config("llama"))
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    given = model.Parameters(here, None, here)  # pyright: ignore[reportArgumentType]
    given = checkpoints.load(folder, shardings=given).parameters
    plain = checkpoints.load(folder).parameters
    jax.tree.map(np.testing.assert_array_equal, given, plain)


def test_shardings_of_another_structure_are_refused(tmp_path):
    weights = files.random_weights("llama")
    folder = files.write_folder(tmp_path / "m", weights, files.config("llama"))
    with pytest.raises(ValueError, match="structure of the parameters"):
        checkpoints.load(folder, shardings={"embed": None})


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_loading_takes_little_memory_beyond_the_arrays(devices):
    benchmark = str(ROOT / "benchmarks" / "loading.py")
    size, count = ("--megabytes", "200"), ("--devices", str(devices))
    rows = run(benchmark, *size, *count, devices=devices).splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["bfloat16", "float32"]
    for row in rows:
        assert float(row.split()[-1]) <= 1.15, row
