"""Several hosts, one program: every process makes the same calls on the same mesh.

There is nothing of our own between hosts: jax joins them, and the compiler's
collectives do the rest. Every process passes in the same prompts (they are small) and
holds its own part of the mesh; so it does not matter whether a part of the model spans
hosts. Files are the first host's business: it writes them, and what it reads is told to
the others, who need no disk in common with it.
"""

import os
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

# A lost host is noticed, and the others are stopped, within so many seconds.
HEARTBEAT_SECONDS = 30
_CPU_THREADS = 32


class FirstHostError(OSError):
    """What the first host did for all failed; it says itself why."""


def join_hosts(
    *,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    """Joins this process with the others of a run; call it before anything else.

    TPU pods, Slurm and GKE tell jax all three; elsewhere give them.

    Args:
        coordinator: address of the first process, as "host:port".
        processes: how many there are.
        process: which one this is.
    """
    # jax would take SIGTERM for itself, which `stopping` listens to.
    jax.config.update("jax_enable_preemption_service", False)
    make_room_for_exchanges()
    jax.distributed.initialize(
        coordinator_address=coordinator,
        num_processes=processes,
        process_id=process,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )


def make_room_for_exchanges() -> None:
    """Lets several CPU devices wait for each other; other devices are not concerned.

    On CPUs an exchange holds a thread while it waits. With as few threads as cores or
    devices, or with two programs under way, the one that all wait for may find none:
    rarely, but then for ever. Call it before jax looks for devices.
    """
    os.environ.setdefault("NPROC", str(max(_CPU_THREADS, os.cpu_count() or 1)))
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def is_first_host() -> bool:
    """Whether this process is the one that prints and writes."""
    return jax.process_index() == 0


def on_first_host(work: Callable[[], bytes]) -> bytes:
    """Runs something on the first host only, and returns its bytes on every host.

    Every host must call this. If it fails there, every host raises.
    """
    if jax.process_count() == 1:
        return work()
    said, problem = b"", None
    if is_first_host():
        try:
            said = work()
        except Exception as error:
            problem = error
    size = -1 if problem else len(said)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(size)))
    if problem is not None:
        raise problem
    if size < 0:
        raise FirstHostError("the first host could not go on; it says why.")
    # Few lengths: each is a program of its own.
    buffer = np.zeros(1 << max(10, (size - 1).bit_length()), np.uint8)
    buffer[: len(said)] = np.frombuffer(said, np.uint8)
    return multihost_utils.broadcast_one_to_all(buffer)[:size].tobytes()
