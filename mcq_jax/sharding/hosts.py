"""Several hosts, one program: every process makes the same calls on the same mesh.

There is nothing of our own between hosts: jax joins them, and the compiler's
collectives do the rest. Every process passes in the same prompts (they are small) and
holds its own part of the mesh; so it does not matter whether a part of the model spans
hosts.
"""

import jax

# A lost host is noticed, and the others are stopped, within so many seconds.
HEARTBEAT_SECONDS = 30


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
    jax.distributed.initialize(
        coordinator_address=coordinator,
        num_processes=processes,
        process_id=process,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )


def is_first_host() -> bool:
    """Whether this process is the one that prints and writes."""
    return jax.process_index() == 0
