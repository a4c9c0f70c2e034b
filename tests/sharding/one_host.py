"""One of several processes that run small passes on one mesh; writes what it got.

Arguments: the coordinator's address, how many processes, which one, mesh, file.
"""

import sys

import jax
import numpy as np

from mcq_jax import sharding
from mcq_jax.results import RunFolder
from tests.sharding import small_runs as runs

SHAPE = "grouped heads, one stack"
DEVICES_EACH = 2


def main(address: str, processes: str, process: str, mesh_shape: str, file: str):
    jax.config.update("jax_num_cpu_devices", DEVICES_EACH)
    sharding.join_hosts(
        coordinator=address, processes=int(processes), process=int(process)
    )
    assert len(jax.devices()) == DEVICES_EACH * int(processes)
    config, parameters = runs.model_of(SHAPE)
    mesh = sharding.make_mesh(config, mesh_shape)
    with sharding.use_mesh(mesh):
        placed = sharding.shard_parameters(parameters, mesh)
        work = (runs.forwards(SHAPE, placed), runs.sweep(SHAPE, placed))
        found = sharding.on_every_host(work)
        # No disk in common: of all these folders only the first host's is written to.
        folder = RunFolder.open(f"{file}.run", {"identity": {"shape": SHAPE}})
        table = runs.table(SHAPE, placed, folder)
    np.savez(file, *jax.tree.leaves((*found, table)))


if __name__ == "__main__":
    main(*sys.argv[1:])
