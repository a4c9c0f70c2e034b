"""Refuses what cannot fit, before long work starts."""

from mcq_jax import costs, sharding
from mcq_jax.costs.machine import free_bytes
from mcq_jax.model import ModelConfig


def check_memory(config: ModelConfig, *, batch: int, chunk: int, tokens: int) -> None:
    """Raises ValueError where the prompts of one pass need more than there is.

    On a mesh every part of the data axis has its share of the prompts; what the model
    axis saves is not counted. Rows that are patched need no such check: as many advance
    together as fit.

    Args:
        batch: prompts in a plain pass.
        chunk: prompts patched together: the rotations of one question.
        tokens: of the longest prompt.
    """
    free = free_bytes()
    if free is None:
        return
    parts = sharding.data_parts()
    one = costs.chunk_bytes(config, prompts=1, tokens=tokens)
    most = int(free // one) * parts
    shorter = "leave out long prompts (--longest-prompt), or use a larger machine."
    for what, prompts, instead in (
        ("batches of {} prompts", batch, f"use --batch {most}." if most else shorter),
        ("passes over {} prompts that are patched together", chunk, shorter),
    ):
        if prompts > most:
            raise ValueError(
                f"{what.format(prompts)} of up to {tokens} tokens need about "
                f"{-(-prompts // parts) * one / 1e9:.1f} GB of a device, and "
                f"{free / 1e9:.1f} GB are free; {instead}"
            )
