"""What the machine at hand has free, and how fast it is."""

import pathlib
import time

import jax
import jax.numpy as jnp


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
