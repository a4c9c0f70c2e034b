"""What the machine at hand has free, and how fast it is."""

import dataclasses
import pathlib
import time

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What decides whether one more program pays."""

    # FLOPs that one more program has to save. It compiles as long as fifteen times as
    # many take, but is kept on disk, and serves other plans and later sweeps.
    program: float
    # Tokens that run through a layer in the time of reading its weights.
    reading: int
    # Seconds to compile one program of a layer.
    compiling: float
    # Batches that a group's rows are cut into; None: as many as pay.
    most_batches: int | None


# SmolLM2-135M's shape on an AMD EPYC (2026-11-26): 0.26 CPU seconds to compile a layer
# for rows, which runs in 1.15 ms + 0.032 ms per token on one core (2.2e11 FLOP/s).
CPU = Machine(program=3.75e9, reading=36, compiling=0.26, most_batches=None)
# Not measured: 2 s of compiling, 2e14 FLOP/s and 1e12 bytes/s, numbers of two bytes.
ACCELERATOR = Machine(program=1e14, reading=200, compiling=2, most_batches=10)


def machine_at_hand() -> Machine:
    """Returns the figures of the devices that passes run on, or are planned for."""
    mesh = jax.sharding.get_mesh()
    devices = jax.local_devices() if mesh.empty else mesh.devices.flat
    return CPU if next(iter(devices)).platform == "cpu" else ACCELERATOR


def free_bytes() -> int | None:
    """Returns the memory free on the device, or None where it does not say."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    memory = pathlib.Path("/proc/meminfo")
    if jax.default_backend() != "cpu" or not memory.exists():
        return None
    for line in memory.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def flop_rate() -> float:
    """Returns float32 FLOP per second of a large matrix product, here and now."""
    size = 1024 if jax.default_backend() == "cpu" else 8192
    x = jnp.ones((size, size))
    multiply = jax.jit(jnp.dot)
    jax.block_until_ready(multiply(x, x))
    start = time.perf_counter()
    for _ in range(3):
        jax.block_until_ready(multiply(x, x))
    return 3 * 2 * size**3 / (time.perf_counter() - start)


def memory_bandwidth() -> float:
    """Returns bytes per second to and from memory, of large sums, here and now."""
    x = jnp.ones(2**25 if jax.default_backend() == "cpu" else 2**29)
    add = jax.jit(lambda x: x + 1)
    jax.block_until_ready(add(x))
    start = time.perf_counter()
    for _ in range(3):
        jax.block_until_ready(add(x))
    return 3 * 2 * x.nbytes / (time.perf_counter() - start)
