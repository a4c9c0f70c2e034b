"""What GGUF metadata says alike for all architectures, as a `ModelConfig`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import StoredTensor
from mcq_jax.model import ModelConfig, RopeScaling
from mcq_jax.model.positions import rotary_frequencies


def read_config(
    attributes: Attributes, tensors: Mapping[str, StoredTensor], **own: Any
) -> ModelConfig:
    """The config of what all architectures describe alike, and what is their own."""
    width = attributes.take("embedding_length", int)
    heads = attributes.take("attention.head_count", int)
    kv_heads = attributes.take("attention.head_count_kv", int, heads)
    if min(width, heads, kv_heads) < 1 or heads % kv_heads:
        raise ValueError(
            f"{heads} heads and {kv_heads} key/value heads in {attributes.source}; "
            "the second must divide the first."
        )
    head_width = attributes.take("attention.key_length", int, width // heads)
    attributes.expect("attention.value_length", head_width)
    settings = {"rotary_width": head_width, **own}
    attributes.expect("rope.dimension_count", settings["rotary_width"])
    attributes.expect("attention.sliding_window", 0)
    attributes.expect("attention.causal", True)
    attributes.expect("expert_count", 0)
    attributes.expect("expert_used_count", 0)
    vocabulary = attributes.take("vocab_size", int, _rows(tensors))
    if "norm_epsilon" not in own:
        name = "attention.layer_norm_rms_epsilon"
        settings["norm_epsilon"] = attributes.take(name, float)
    config = ModelConfig(
        layers=attributes.take("block_count", int),
        width=width,
        kv_heads=kv_heads,
        group=heads // kv_heads,
        head_width=head_width,
        neurons=attributes.take("feed_forward_length", int),
        vocabulary=vocabulary,
        context=attributes.take("context_length", int),
        attention_output_bias="blk.0.attn_output.bias" in tensors,
        mlp_bias="blk.0.ffn_down.bias" in tensors,
        rope_base=attributes.take("rope.freq_base", float, 10_000.0),
        **settings,
    )
    return _with_rope_factors(_with_rope_scaling(config, attributes), tensors)


def _rows(tensors: Mapping[str, StoredTensor]) -> int:
    """The vocabulary, padding included: rows of the embedding (0 if it is missing)."""
    table = tensors.get("token_embd.weight")
    return table.shape[0] if table else 0


def _with_rope_scaling(config: ModelConfig, attributes: Attributes) -> ModelConfig:
    kind = attributes.take("rope.scaling.type", str, "none")
    factor = attributes.take("rope.scaling.factor", float, 1.0)
    attributes.expect("rope.scaling.attn_factor", 1.0)
    # Only other kinds of scaling read these two.
    attributes.ignore("rope.scaling.original_context_length", "rope.scaling.finetuned")
    if kind == "none":
        return config
    if kind == "linear":
        return dataclasses.replace(
            config, rope_scaling=RopeScaling.LINEAR, rope_factor=factor
        )
    raise ValueError(
        f"rope.scaling.type is {kind!r} in {attributes.source}; only 'none' and "
        "'linear' are supported."
    )


# Divisors of the rotary frequencies, which stand for Llama 3's scaling.
ROPE_FACTORS = "rope_freqs.weight"


def _with_rope_factors(
    config: ModelConfig, tensors: Mapping[str, StoredTensor]
) -> ModelConfig:
    """Recognises Llama 3's scaling, whose settings the converter leaves out."""
    if ROPE_FACTORS not in tensors:
        return config
    tensor = tensors[ROPE_FACTORS]
    factors = tensor.read(0, tensor.shape[0])
    # 1, 4 and 8192 are the published values of all Llama 3.x models.
    scaled = dataclasses.replace(
        config, rope_scaling=RopeScaling.LLAMA3, rope_factor=float(factors.max())
    )
    ours, plain = rotary_frequencies(scaled), rotary_frequencies(config)
    fits = factors.shape == ours.shape and np.allclose(plain / factors, ours, rtol=1e-4)
    if not fits or config.rope_scaling is not RopeScaling.NONE:
        raise ValueError(
            f"Tensor {ROPE_FACTORS} scales the rotary frequencies by factors between "
            f"{factors.min():g} and {factors.max():g}, which are not those of Llama 3; "
            "give the model as a Hugging Face folder instead."
        )
    return scaled
