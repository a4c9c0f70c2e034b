"""The families of models that load: one file each, and one line in this list."""

from mcq_jax.checkpoints.families import (
    gemma,
    gemma2,
    gemma3,
    gpt2,
    gpt_neox,
    llama,
    mistral,
    olmo2,
    phi3,
    qwen2,
    qwen3,
    smollm3,
)
from mcq_jax.checkpoints.families.family import Family, GgufFamily

FAMILIES: tuple[Family, ...] = (
    llama.FAMILY,
    mistral.FAMILY,
    qwen2.FAMILY,
    qwen3.FAMILY,
    smollm3.FAMILY,
    gemma.FAMILY,
    gemma2.FAMILY,
    gemma3.FAMILY,
    olmo2.FAMILY,
    phi3.FAMILY,
    gpt2.FAMILY,
    gpt_neox.FAMILY,
)

__all__ = ["FAMILIES", "Family", "GgufFamily"]
