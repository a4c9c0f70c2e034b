"""A checkpoint is read straight onto the mesh that a run asks for."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from mcq_jax import planted
from mcq_jax.experiments import RunConfig, opening
from tests import programs
from tests.checkpoints import files
from tests.experiments.processes import ROOT

# Loads the folder named with and without a mesh, and compares.
SCRIPT = """
import sys
import jax, numpy as np
from mcq_jax import sharding
from mcq_jax.experiments import RunConfig
from mcq_jax.experiments.opening import open_model

def load(**given):
    config = RunConfig(title="", model=sys.argv[1], questions="", **given)
    return open_model(config)[0]

for weights in ("full", "int8"):
    plain = load(weights_as=weights).parameters
    assert not jax.tree.leaves(plain)[0].sharding.num_devices > 1
    for fully in (False, True):
        given = load(mesh="data=2,model=2", weights_as=weights, fully_sharded=fully)
        found = given.parameters
        jax.tree.map(np.testing.assert_array_equal, plain, found)
        assert given.content_hash == load().content_hash
        with sharding.use_mesh_of(found):
            assert sharding.data_parts() == 2 and sharding.devices_in_use() == 4
        query = jax.tree.leaves(found.layers[0]["attention"]["query"])[0]
        parts = query.size // query.addressable_shards[0].data.size
        assert parts == (4 if fully else 2), query.sharding
print("equal")
"""


@pytest.mark.slow
def test_weights_are_read_onto_their_shards(tmp_path: pathlib.Path):
    weights = files.random_weights("llama")
    folder = files.write_folder(tmp_path / "m", weights, files.config("llama"))
    flags = programs.flags_for(4)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("equal\n"), done.stderr


def _config(**given) -> RunConfig:
    return RunConfig(title="", model="planted", questions="planted", **given)


def test_without_a_mesh_nothing_is_split_on_a_cpu():
    checkpoint, _ = opening.open_model(_config())
    first = jax.tree.leaves(checkpoint.parameters)[0]
    assert isinstance(first.sharding, jax.sharding.SingleDeviceSharding)


@pytest.mark.parametrize(
    ("mesh", "said"),
    [("data=2,model=2", "there are 1; let the product be 1"), ("four", "write it as")],
)
def test_a_mesh_that_cannot_be_is_refused(mesh: str, said: str):
    assert jax.device_count() == 1
    with pytest.raises(ValueError, match=said):
        opening.open_model(_config(mesh=mesh))


def test_a_planted_model_is_the_same_on_a_mesh_of_one():
    plain = planted.plant(0).parameters
    checkpoint, _ = opening.open_model(_config(mesh="data=1,model=1"))
    assert jax.tree.all(
        jax.tree.map(lambda a, b: bool((a == b).all()), plain, checkpoint.parameters)
    )
