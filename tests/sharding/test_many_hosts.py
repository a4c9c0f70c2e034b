"""Two real processes, joined over the loopback address, agree with one."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.sharding import small_runs as runs
from tests.sharding.one_host import SHAPE

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROCESSES = 2


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mesh",
    ["data=2,model=2", pytest.param("data=1,model=4", marks=pytest.mark.exhaustive)],
)
def test_a_mesh_over_two_processes_gives_the_numbers_of_one(mesh: str, tmp_path):
    """The model lies within a process, and across both."""
    address = f"127.0.0.1:{_free_port()}"
    files = [tmp_path / f"{process}.npz" for process in range(PROCESSES)]
    hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sharding.one_host", address,
             str(PROCESSES), str(process), mesh, str(file)],
            cwd=ROOT, env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stderr=subprocess.PIPE, text=True,
        )
        for process, file in enumerate(files)
    ]  # fmt: skip
    errors = [host.communicate(timeout=600)[1] for host in hosts]
    assert not any(host.returncode for host in hosts), errors
    _, parameters = runs.model_of(SHAPE)
    works = (runs.forwards, runs.sweep, runs.table)
    alone = tuple(work(SHAPE, parameters) for work in works)
    for file in files:
        with np.load(file) as arrays:
            found = [arrays[name] for name in arrays.files]
        runs.assert_equal(
            jax.tree.unflatten(jax.tree.structure(alone), found),
            jax.tree.map(np.asarray, alone),
        )
    parts = "run/tables/*/*/*.parquet"
    written = [len(list(tmp_path.glob(f"{f.name}.{parts}"))) for f in files]
    assert written == [3, 0]
