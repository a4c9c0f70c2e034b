"""Chunks of prompts are run in turn, and a run is stopped between them."""

import os
import signal

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import sharding

CHUNKS = [np.array([3, 1]), np.array([0]), np.array([4, 5, 2])]


def _double(prompts):
    return {"twice": jnp.asarray(2 * prompts), "ones": jnp.ones((len(prompts), 2))}


def test_every_chunk_has_its_own_results_as_numpy_arrays():
    found = list(sharding.run_chunks(CHUNKS, _double))
    assert [f["twice"].tolist() for f in found] == [[6, 2], [0], [8, 10, 4]]
    assert [f["ones"].shape for f in found] == [(2, 2), (1, 2), (3, 2)]
    assert all(isinstance(f["twice"], np.ndarray) for f in found)
    assert not list(sharding.run_chunks([], _double))


def test_sigterm_stops_behind_the_chunk_in_hand():
    done = []

    def work(prompts):
        if prompts.tolist() == [0]:
            os.kill(os.getpid(), signal.SIGTERM)
        return jnp.asarray(prompts)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(sharding.Stopped), sharding.stopping_on_sigterm():
        for found in sharding.run_chunks(CHUNKS, work):
            done.append(found.tolist())
    assert done == [[3, 1], [0]]
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(list(sharding.run_chunks(CHUNKS, _double))) == 3, "not stopped for ever"


def test_a_second_sigterm_stops_at_once():
    def work(prompts):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("still running")

    with pytest.raises(KeyboardInterrupt) as stopped, sharding.stopping_on_sigterm():
        list(sharding.run_chunks(CHUNKS, work))
    assert not isinstance(stopped.value, sharding.Stopped)


def test_a_single_host_is_the_first_and_asks_itself():
    assert sharding.is_first_host()
    assert sharding.on_first_host(lambda: b"so") == b"so"
    with pytest.raises(ValueError, match="no"):
        sharding.on_first_host(_fail)


def _fail() -> bytes:
    raise ValueError("no")
