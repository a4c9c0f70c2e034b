"""A Hugging Face folder's model: `config.json` to `ModelConfig`, names of tensors.

Every attribute of `config.json` is used, checked or known to be without effect; any
other is refused by name. A further family is one function and its line in `_FAMILIES`.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import (
    UNEMBED_TABLE,
    Description,
    Leaf,
    Names,
    StoredTensor,
)
from mcq_jax.checkpoints.safetensors import read_json, same_numbers
from mcq_jax.model import Activation, ModelConfig, RopeScaling


def describe(folder: pathlib.Path, tensors: Mapping[str, StoredTensor]) -> Description:
    """Returns the config and the tensor names of a folder's model."""
    config, is_tied = read_config(folder / "config.json")
    ignored = [r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"]
    if is_tied and _unembedding_repeats(tensors, folder):
        ignored.append(r"lm_head\.weight")
    names = Names(stored=_NAMES, ignored=tuple(ignored))
    return Description(config=config, names=names, is_tied=is_tied)


def read_config(path: pathlib.Path) -> tuple[ModelConfig, bool]:
    """Returns the config, and whether the unembedding is the embedding's table."""
    attributes = Attributes(read_json(path), str(path))
    family = attributes.take("model_type", str)
    if family not in _FAMILIES:
        raise ValueError(
            f"{path} describes a model of type {family!r}; supported are "
            f"{', '.join(_FAMILIES)}."
        )
    attributes.ignore(*_WITHOUT_EFFECT)
    is_tied = attributes.take("tie_word_embeddings", bool, False)
    config = _FAMILIES[family](attributes)
    attributes.finish()
    return config, is_tied


# What the model computes does not depend on these.
_WITHOUT_EFFECT = (
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "initializer_range",
    "is_llama_config",
    "pad_token_id",
    "pretraining_tp",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "use_cache",
)


def _llama(attributes: Attributes) -> ModelConfig:
    attributes.expect("architectures", ["LlamaForCausalLM"])
    attributes.expect("rope_interleaved", False)
    has_bias = attributes.take("attention_bias", bool, False)
    return _config(
        attributes,
        context=attributes.take("max_position_embeddings", int, 2048),
        qkv_bias=has_bias,
        attention_output_bias=has_bias,
        mlp_bias=attributes.take("mlp_bias", bool, False),
    )


def _qwen2(attributes: Attributes) -> ModelConfig:
    attributes.expect("architectures", ["Qwen2ForCausalLM"])
    attributes.expect("use_mrope", False)
    _refuse_windows(attributes)
    return _config(
        attributes,
        context=attributes.take("max_position_embeddings", int, 32_768),
        qkv_bias=True,
        attention_output_bias=False,
        mlp_bias=False,
    )


_FAMILIES: dict[str, Callable[[Attributes], ModelConfig]] = {
    "llama": _llama,
    "qwen2": _qwen2,
}


def _refuse_windows(attributes: Attributes) -> None:
    """Sliding windows may be described as long as no layer uses one."""
    attributes.expect("use_sliding_window", False)
    attributes.ignore("sliding_window", "max_window_layers")
    kinds = attributes.take("layer_types", list, [])
    if any(kind != "full_attention" for kind in kinds):
        raise ValueError(
            f"layer_types is {kinds} in {attributes.source}; only 'full_attention' is "
            "supported."
        )


def _config(
    attributes: Attributes,
    *,
    context: int,
    qkv_bias: bool,
    attention_output_bias: bool,
    mlp_bias: bool,
) -> ModelConfig:
    width = attributes.take("hidden_size", int)
    heads = attributes.take("num_attention_heads", int)
    kv_heads = attributes.take("num_key_value_heads", int, heads)
    if min(heads, kv_heads) < 1 or heads % kv_heads:
        raise ValueError(
            f"{heads} attention heads and {kv_heads} key/value heads in "
            f"{attributes.source}; the second must divide the first."
        )
    head_width = attributes.take("head_dim", int, width // heads)
    attributes.expect("hidden_act", "silu")
    return ModelConfig(
        layers=attributes.take("num_hidden_layers", int),
        width=width,
        kv_heads=kv_heads,
        group=heads // kv_heads,
        head_width=head_width,
        neurons=attributes.take("intermediate_size", int),
        vocabulary=attributes.take("vocab_size", int),
        context=context,
        norm_epsilon=attributes.take("rms_norm_eps", float, 1e-6),
        activation=Activation.SILU,
        qkv_bias=qkv_bias,
        attention_output_bias=attention_output_bias,
        mlp_bias=mlp_bias,
        rotary_width=head_width,
        **_rope(attributes),
    )


def _rope(attributes: Attributes) -> dict[str, Any]:
    """Reads both spellings: rope_theta with rope_scaling, and rope_parameters."""
    base = attributes.take("rope_theta", float, None)
    old = attributes.take("rope_scaling", dict, {})
    new = attributes.take("rope_parameters", dict, {})
    if old and new and old != new:
        raise ValueError(
            f"{attributes.source} has rope_scaling and rope_parameters, and they "
            "differ; remove the one that does not hold."
        )
    rope = Attributes(new or old, f"{attributes.source} (rope parameters)")
    own_base = rope.take("rope_theta", float, base)
    if base is not None and own_base != base:
        raise ValueError(
            f"{attributes.source} gives rope_theta {base} and {own_base}; remove the "
            "one that does not hold."
        )
    rope.expect("partial_rotary_factor", 1.0)
    kind = rope.take("type", str, "default")
    kind = rope.take("rope_type", str, kind)
    if kind not in _SCALINGS:
        raise ValueError(
            f"The rotary positions of {attributes.source} are of type {kind!r}; "
            f"supported are {', '.join(_SCALINGS)}."
        )
    settings = _SCALINGS[kind](rope)
    rope.finish()
    return {"rope_base": 10_000.0 if own_base is None else own_base, **settings}


def _linear(rope: Attributes) -> dict[str, Any]:
    return {
        "rope_scaling": RopeScaling.LINEAR,
        "rope_factor": rope.take("factor", float),
    }


def _llama3(rope: Attributes) -> dict[str, Any]:
    return {
        "rope_scaling": RopeScaling.LLAMA3,
        "rope_factor": rope.take("factor", float),
        "rope_low_factor": rope.take("low_freq_factor", float),
        "rope_high_factor": rope.take("high_freq_factor", float),
        "rope_original_context": rope.take("original_max_position_embeddings", int),
    }


_SCALINGS: dict[str, Callable[[Attributes], dict[str, Any]]] = {
    "default": lambda rope: {},
    "linear": _linear,
    "llama3": _llama3,
}


def _unembedding_repeats(
    tensors: Mapping[str, StoredTensor], folder: pathlib.Path
) -> bool:
    """Says whether a tied unembedding is stored although it need not be."""
    table = tensors.get(_NAMES["embed", "~", "table"])
    unembedding = tensors.get(_NAMES[UNEMBED_TABLE])
    if table is None or unembedding is None:
        return False
    if not same_numbers(table, unembedding):
        raise ValueError(
            f"The config of {folder} ties the unembedding to the embedding, but "
            "lm_head.weight is stored and differs; set tie_word_embeddings to false "
            "or remove the tensor."
        )
    return True


_NAMES: dict[Leaf, str] = {
    ("embed", "~", "table"): "model.embed_tokens.weight",
    ("unembed", "~", "norm_gain"): "model.norm.weight",
    UNEMBED_TABLE: "lm_head.weight",
} | {
    ("layers", module, name): "model.layers.{layer}." + stored
    for module, name, stored in (
        ("attention", "norm_gain", "input_layernorm.weight"),
        ("attention", "query", "self_attn.q_proj.weight"),
        ("attention", "query_bias", "self_attn.q_proj.bias"),
        ("attention", "key", "self_attn.k_proj.weight"),
        ("attention", "key_bias", "self_attn.k_proj.bias"),
        ("attention", "value", "self_attn.v_proj.weight"),
        ("attention", "value_bias", "self_attn.v_proj.bias"),
        ("attention", "output", "self_attn.o_proj.weight"),
        ("attention", "output_bias", "self_attn.o_proj.bias"),
        ("feedforward", "norm_gain", "post_attention_layernorm.weight"),
        ("feedforward", "gate", "mlp.gate_proj.weight"),
        ("feedforward", "gate_bias", "mlp.gate_proj.bias"),
        ("feedforward", "up", "mlp.up_proj.weight"),
        ("feedforward", "up_bias", "mlp.up_proj.bias"),
        ("feedforward", "down", "mlp.down_proj.weight"),
        ("feedforward", "down_bias", "mlp.down_proj.bias"),
    )
}
