"""A GGUF file's model: metadata to `ModelConfig`, and the names of its tensors.

A further family is one entry of `_ARCHITECTURES`, with a function of its own where its
metadata has more to say.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import (
    UNEMBED_TABLE,
    Description,
    Leaf,
    Names,
    StoredTensor,
)
from mcq_jax.checkpoints.gguf_file import GgufFile
from mcq_jax.model import ModelConfig, RopeScaling
from mcq_jax.model.positions import rotary_frequencies


def describe(file: GgufFile) -> Description:
    """Returns the config and the tensor names of a GGUF file's model."""
    architecture = file.metadata.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ValueError(
            f"{file.path} has a model of architecture {architecture!r}; supported are "
            f"{', '.join(_ARCHITECTURES)}."
        )
    parts = file.metadata.get("split.count", 1)
    if parts != 1:
        raise ValueError(
            f"{file.path} is one of {parts} parts of a model; join them first "
            "(llama.cpp has gguf-split --merge)."
        )
    start = f"{architecture}."
    values = {
        key.removeprefix(start): value
        for key, value in file.metadata.items()
        if key.startswith(start)
    }
    attributes = Attributes(values, f"{file.path} ({start}…)")
    description = _ARCHITECTURES[architecture](attributes, file.tensors)
    attributes.finish()
    return description


def _llama(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Llama and SmolLM2: queries and keys are stored for interleaved rotation."""
    config = _config(attributes, tensors, qkv_bias="blk.0.attn_q.bias" in tensors)
    turning = {"query", "key", "query_bias", "key_bias"}
    return _described(config, tensors, interleaved=frozenset(turning))


def _qwen2(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Qwen2 and Qwen2.5: biases on queries, keys and values; stored as they are."""
    return _described(_config(attributes, tensors, qkv_bias=True), tensors)


_ARCHITECTURES: dict[
    str, Callable[[Attributes, Mapping[str, StoredTensor]], Description]
] = {"llama": _llama, "qwen2": _qwen2}


def _config(
    attributes: Attributes, tensors: Mapping[str, StoredTensor], *, qkv_bias: bool
) -> ModelConfig:
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
    attributes.expect("rope.dimension_count", head_width)
    attributes.expect("attention.sliding_window", 0)
    attributes.expect("attention.causal", True)
    attributes.expect("expert_count", 0)
    attributes.expect("expert_used_count", 0)
    vocabulary = attributes.take("vocab_size", int, _rows(tensors))
    config = ModelConfig(
        layers=attributes.take("block_count", int),
        width=width,
        kv_heads=kv_heads,
        group=heads // kv_heads,
        head_width=head_width,
        neurons=attributes.take("feed_forward_length", int),
        vocabulary=vocabulary,
        context=attributes.take("context_length", int),
        norm_epsilon=attributes.take("attention.layer_norm_rms_epsilon", float),
        qkv_bias=qkv_bias,
        attention_output_bias="blk.0.attn_output.bias" in tensors,
        mlp_bias="blk.0.ffn_down.bias" in tensors,
        rotary_width=head_width,
        rope_base=attributes.take("rope.freq_base", float, 10_000.0),
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
_ROPE_FACTORS = "rope_freqs.weight"


def _with_rope_factors(
    config: ModelConfig, tensors: Mapping[str, StoredTensor]
) -> ModelConfig:
    """Recognises Llama 3's scaling, whose settings the converter leaves out."""
    if _ROPE_FACTORS not in tensors:
        return config
    tensor = tensors[_ROPE_FACTORS]
    factors = tensor.read(0, tensor.shape[0])
    # 1, 4 and 8192 are the published values of all Llama 3.x models.
    scaled = dataclasses.replace(
        config, rope_scaling=RopeScaling.LLAMA3, rope_factor=float(factors.max())
    )
    ours, plain = rotary_frequencies(scaled), rotary_frequencies(config)
    fits = factors.shape == ours.shape and np.allclose(plain / factors, ours, rtol=1e-4)
    if not fits or config.rope_scaling is not RopeScaling.NONE:
        raise ValueError(
            f"Tensor {_ROPE_FACTORS} scales the rotary frequencies by factors between "
            f"{factors.min():g} and {factors.max():g}, which are not those of Llama 3; "
            "give the model as a Hugging Face folder instead."
        )
    return scaled


def _described(
    config: ModelConfig,
    tensors: Mapping[str, StoredTensor],
    *,
    interleaved: frozenset[str] = frozenset(),
) -> Description:
    return Description(
        config=config,
        names=Names(stored=_NAMES, ignored=(_ROPE_FACTORS,), interleaved=interleaved),
        is_tied=_NAMES[UNEMBED_TABLE] not in tensors,
    )


_NAMES: dict[Leaf, str] = {
    ("embed", "~", "table"): "token_embd.weight",
    ("unembed", "~", "norm_gain"): "output_norm.weight",
    UNEMBED_TABLE: "output.weight",
} | {
    ("layers", module, name): "blk.{layer}." + stored
    for module, name, stored in (
        ("attention", "norm_gain", "attn_norm.weight"),
        ("attention", "query", "attn_q.weight"),
        ("attention", "query_bias", "attn_q.bias"),
        ("attention", "key", "attn_k.weight"),
        ("attention", "key_bias", "attn_k.bias"),
        ("attention", "value", "attn_v.weight"),
        ("attention", "value_bias", "attn_v.bias"),
        ("attention", "output", "attn_output.weight"),
        ("attention", "output_bias", "attn_output.bias"),
        ("feedforward", "norm_gain", "ffn_norm.weight"),
        ("feedforward", "gate", "ffn_gate.weight"),
        ("feedforward", "gate_bias", "ffn_gate.bias"),
        ("feedforward", "up", "ffn_up.weight"),
        ("feedforward", "up_bias", "ffn_up.bias"),
        ("feedforward", "down", "ffn_down.weight"),
        ("feedforward", "down_bias", "ffn_down.bias"),
    )
}
