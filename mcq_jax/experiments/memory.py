"""Refuses what cannot fit, before long work starts."""

from mcq_jax import sharding, sweeps
from mcq_jax.model import ModelConfig
from mcq_jax.sweeps.machine import free_bytes


def check_memory(
    config: ModelConfig, *, batch: int, chunk: int, kinds: int, tokens: int
) -> None:
    """Raises ValueError where a batch or a chunk's sweep needs more than there is.

    On a mesh every part of the data axis has its share of the prompts; what the model
    axis saves is not counted.

    Args:
        batch: prompts in a plain pass.
        chunk: prompts patched together: the rotations of one question.
        kinds: kinds of source.
        tokens: of the longest prompt.
    """
    free = free_bytes()
    if free is None:
        return
    parts = sharding.data_parts()
    chunk = -(-chunk // parts)
    rows = chunk * kinds * config.layers * config.nodes
    sweep = sweeps.node_sweep_bytes(config, rows=rows, tokens=tokens)
    sweep += sweeps.prompt_pass_bytes(config, prompts=chunk, tokens=tokens)
    one = sweeps.prompt_pass_bytes(config, prompts=1, tokens=tokens)
    share = -(-batch // parts) * one
    if share > free:
        most = int(free // one) * parts
        raise ValueError(
            f"batches of {batch} prompts of up to {tokens} tokens need about "
            f"{share / 1e9:.1f} GB of a device, and {free / 1e9:.1f} GB are free; "
            + (f"use --batch {most}." if most else _SHORTER)
        )
    if sweep > free:
        raise ValueError(
            f"patching {config.layers * config.nodes} nodes of {chunk} prompts from "
            f"{kinds} sources at once needs about {sweep / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free; {_SHORTER}"
        )


_SHORTER = "leave out long prompts (--longest-prompt), or use a larger machine."
