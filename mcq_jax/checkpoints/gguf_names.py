"""What GGUF files call the tensors of all architectures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mcq_jax.checkpoints.conversion import (
    UNEMBED_TABLE,
    Description,
    Leaf,
    Names,
    StoredTensor,
)
from mcq_jax.checkpoints.gguf_config import ROPE_FACTORS
from mcq_jax.model import ModelConfig

NAMES: dict[Leaf, str] = {
    ("embed", "~", "table"): "token_embd.weight",
    ("embed", "~", "position_table"): "position_embd.weight",
    ("unembed", "~", "norm_gain"): "output_norm.weight",
    ("unembed", "~", "norm_bias"): "output_norm.bias",
    UNEMBED_TABLE: "output.weight",
} | {
    ("layers", module, name): "blk.{layer}." + stored
    for module, name, stored in (
        ("attention", "norm_gain", "attn_norm.weight"),
        ("attention", "norm_bias", "attn_norm.bias"),
        ("attention", "query_norm_gain", "attn_q_norm.weight"),
        ("attention", "key_norm_gain", "attn_k_norm.weight"),
        ("attention", "query", "attn_q.weight"),
        ("attention", "query_bias", "attn_q.bias"),
        ("attention", "key", "attn_k.weight"),
        ("attention", "key_bias", "attn_k.bias"),
        ("attention", "value", "attn_v.weight"),
        ("attention", "value_bias", "attn_v.bias"),
        ("attention", "output", "attn_output.weight"),
        ("attention", "output_bias", "attn_output.bias"),
        ("feedforward", "norm_gain", "ffn_norm.weight"),
        ("feedforward", "norm_bias", "ffn_norm.bias"),
        ("feedforward", "gate", "ffn_gate.weight"),
        ("feedforward", "gate_bias", "ffn_gate.bias"),
        ("feedforward", "up", "ffn_up.weight"),
        ("feedforward", "up_bias", "ffn_up.bias"),
        ("feedforward", "down", "ffn_down.weight"),
        ("feedforward", "down_bias", "ffn_down.bias"),
    )
}


# Gemma 2 and 3 norm what their blocks write as well.
FOUR_NORMS: dict[Leaf, str] = {
    ("layers", "attention", "post_norm_gain"): "blk.{layer}.post_attention_norm.weight",
    ("layers", "feedforward", "post_norm_gain"): "blk.{layer}.post_ffw_norm.weight",
}

# Queries, keys and values in one tensor.
QKV, QKV_BIAS = "blk.{layer}.attn_qkv.weight", "blk.{layer}.attn_qkv.bias"


def description(
    config: ModelConfig,
    tensors: Mapping[str, StoredTensor],
    stored: Mapping[Leaf, str] = NAMES,
    **how: Any,
) -> Description:
    """What a file says about its model; `how` are further fields of `Names`."""
    tied = NAMES[UNEMBED_TABLE] not in tensors
    return Description(
        config=dataclasses.replace(config, tied=tied),
        names=Names(stored=stored, ignored=(ROPE_FACTORS,), **how),
    )
