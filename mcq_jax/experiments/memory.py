"""Refuses what cannot fit, before long work starts."""

import pathlib

import jax

from mcq_jax import sweeps
from mcq_jax.model import ModelConfig


def check_memory(
    config: ModelConfig, *, batch: int, chunk: int, kinds: int, tokens: int
) -> None:
    """Raises ValueError where a batch or a chunk's sweep needs more than there is.

    Args:
        batch: prompts in a plain pass.
        chunk: prompts patched together: the rotations of one question.
        kinds: kinds of source.
        tokens: of the longest prompt.
    """
    free = free_bytes()
    if free is None:
        return
    rows = chunk * kinds * config.layers * config.nodes
    sweep = sweeps.node_sweep_bytes(config, rows=rows, tokens=tokens)
    sweep += sweeps.prompt_pass_bytes(config, prompts=chunk, tokens=tokens)
    one = sweeps.prompt_pass_bytes(config, prompts=1, tokens=tokens)
    if batch * one > free:
        raise ValueError(
            f"batches of {batch} prompts of up to {tokens} tokens need about "
            f"{batch * one / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            + (f"use --batch {int(free // one)}." if free >= one else _SHORTER)
        )
    if sweep > free:
        raise ValueError(
            f"patching {config.layers * config.nodes} nodes of {chunk} prompts from "
            f"{kinds} sources at once needs about {sweep / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free; {_SHORTER}"
        )


_SHORTER = "leave out long prompts (--longest-prompt), or use a larger machine."


def free_bytes() -> int | None:
    """Returns the memory free on the device, or None where it does not say."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    memory = pathlib.Path("/proc/meminfo")
    if jax.default_backend() != "cpu" or not memory.exists():
        return None
    for line in memory.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
