"""What the families call their tensors, and how they pack them."""

import re
from collections.abc import Mapping

import numpy as np

from mcq_jax.checkpoints.conversion import UNEMBED_TABLE, Leaf, Names, StoredTensor
from mcq_jax.checkpoints.views import View, one_after_another
from mcq_jax.model import ModelConfig, parameter_shapes
from mcq_jax.parameter_table import Kind, parameter

Tensors = Mapping[str, StoredTensor]


def llama(config: ModelConfig, tensors: Tensors) -> Names:
    """Llama's names, which most families have taken over."""
    return Names(stored=_llama(tensors), ignored=(_FREQUENCIES,))


def gemma(config: ModelConfig, tensors: Tensors) -> Names:
    """Llama's names; gains are stored as their difference from 1."""
    stored = _llama(tensors)
    return Names(stored=stored, views=_raised_gains(config), ignored=(_FREQUENCIES,))


def gemma2(config: ModelConfig, tensors: Tensors) -> Names:
    """Gemma 2 and 3: four norms per layer, gains as before."""
    stored = _llama(
        tensors,
        ("attention", "post_norm_gain", "post_attention_layernorm.weight"),
        ("feedforward", "norm_gain", "pre_feedforward_layernorm.weight"),
        ("feedforward", "post_norm_gain", "post_feedforward_layernorm.weight"),
    )
    return Names(stored=stored, views=_raised_gains(config), ignored=(_FREQUENCIES,))


def olmo2(config: ModelConfig, tensors: Tensors) -> Names:
    """OLMo 2: the norms stand behind the blocks."""
    stored = _llama(
        tensors,
        ("attention", "post_norm_gain", "post_attention_layernorm.weight"),
        ("feedforward", "post_norm_gain", "post_feedforward_layernorm.weight"),
    )
    return Names(stored=stored, ignored=(_FREQUENCIES,))


def phi3(config: ModelConfig, tensors: Tensors) -> Names:
    """Phi-3: queries, keys and values in one tensor, gate and up in another."""
    qkv, up = "self_attn.qkv_proj.weight", "mlp.gate_up_proj.weight"
    stored = _llama(
        tensors,
        *(("attention", name, qkv) for name in _QKV),
        *(("feedforward", name, up) for name in ("gate", "up")),
    )
    heads = one_after_another(*_sizes(config))
    neurons = one_after_another(config.neurons, config.neurons)
    views = dict(zip(_leaves("attention", *_QKV), heads, strict=True))
    views |= dict(zip((_GATE, _UP), neurons, strict=True))
    return Names(stored=stored, views=views, ignored=(_FREQUENCIES,))


def gpt2(config: ModelConfig, tensors: Tensors) -> Names:
    """GPT-2: matrices are [input, output]; queries, keys and values are one."""
    start = "" if "wte.weight" in tensors else "transformer."
    layer = start + "h.{layer}."
    stored = {
        ("embed", "~", "table"): start + "wte.weight",
        ("embed", "~", "position_table"): start + "wpe.weight",
        ("unembed", "~", "norm_gain"): start + "ln_f.weight",
        ("unembed", "~", "norm_bias"): start + "ln_f.bias",
        UNEMBED_TABLE: "lm_head.weight",
    } | _in_layers(
        *_layer_norms("ln_1", "ln_2"),
        *_fused("attn.c_attn"),
        *_with_bias("attention", "output", "attn.c_proj"),
        *_with_bias("feedforward", "up", "mlp.c_fc"),
        *_with_bias("feedforward", "down", "mlp.c_proj"),
        start=layer,
    )  # fmt: skip
    views = _views_of_fused(one_after_another(*_sizes(config)), is_turned=True)
    for leaf in (("layers", "attention", "output"), _UP, _DOWN):
        views[leaf] = View(is_turned=True)
    masks = re.escape(start) + r"h\.\d+\.attn\.(masked_)?bias"
    return Names(stored=stored, views=views, ignored=(masks,))


def gpt_neox(config: ModelConfig, tensors: Tensors) -> Names:
    """Pythia: every head's query, key and value follow one another."""
    is_old = "embed_out.weight" in tensors
    start = "" if "embed_in.weight" in tensors else "gpt_neox."
    stored = {
        ("embed", "~", "table"): start + "embed_in.weight",
        ("unembed", "~", "norm_gain"): start + "final_layer_norm.weight",
        ("unembed", "~", "norm_bias"): start + "final_layer_norm.bias",
        UNEMBED_TABLE: "embed_out.weight" if is_old else "lm_head.weight",
    } | _in_layers(
        *_layer_norms("input_layernorm", "post_attention_layernorm"),
        *_fused("attention.query_key_value"),
        *_with_bias("attention", "output", "attention.dense"),
        *_with_bias("feedforward", "up", "mlp.dense_h_to_4h"),
        *_with_bias("feedforward", "down", "mlp.dense_4h_to_h"),
        start=start + "layers.{layer}.",
    )
    outputs = np.arange(3 * config.heads * config.head_width)
    by_head = outputs.reshape(config.heads, 3, config.head_width).swapaxes(0, 1)
    parts = [View(outputs=part.ravel(), of=len(outputs)) for part in by_head]
    masks = re.escape(start) + r"layers\.\d+\.attention\.(masked_)?bias"
    ignored = (masks, _FREQUENCIES)
    return Names(stored=stored, views=_views_of_fused(parts), ignored=ignored)


# Of rotary positions: what the config says is computed instead.
_FREQUENCIES = (
    r"((model|gpt_neox)\.)?(layers\.\d+\.(self_attn|attention)\.)?rotary_emb\.inv_freq"
)
_QKV = ("query", "key", "value")
_GATE: Leaf = ("layers", "feedforward", "gate")
_UP: Leaf = ("layers", "feedforward", "up")
_DOWN: Leaf = ("layers", "feedforward", "down")


def _in_layers(*names: tuple[str, str, str], start: str) -> dict[Leaf, str]:
    return {("layers", module, name): start + stored for module, name, stored in names}


def _leaves(module: str, *names: str) -> list[Leaf]:
    return [("layers", module, name) for name in names]


def _with_bias(module: str, name: str, stored: str) -> list[tuple[str, str, str]]:
    return [
        (module, name, f"{stored}.weight"),
        (module, f"{name}_bias", f"{stored}.bias"),
    ]


def _fused(stored: str) -> list[tuple[str, str, str]]:
    return [each for name in _QKV for each in _with_bias("attention", name, stored)]


def _layer_norms(attention: str, feedforward: str) -> list[tuple[str, str, str]]:
    return [
        (module, f"norm_{ours}", f"{stored}.{theirs}")
        for module, stored in (("attention", attention), ("feedforward", feedforward))
        for ours, theirs in (("gain", "weight"), ("bias", "bias"))
    ]


def _sizes(config: ModelConfig) -> tuple[int, int, int]:
    """Outputs of the projections to queries, keys and values."""
    keys = config.kv_heads * config.head_width
    return config.heads * config.head_width, keys, keys


def _views_of_fused(parts, *, is_turned: bool = False) -> dict[Leaf, View]:
    views = {}
    for name, part in zip(_QKV, parts, strict=True):
        turned = View(outputs=part.outputs, of=part.of, is_turned=is_turned)
        views["layers", "attention", name] = turned
        views["layers", "attention", f"{name}_bias"] = part
    return views


def _raised_gains(config: ModelConfig) -> dict[Leaf, View]:
    shapes = parameter_shapes(config)
    groups = {"layers": shapes.layers[0], "unembed": shapes.unembed}
    return {
        (part, module, name): View(plus=1.0)
        for part, group in groups.items()
        for module, arrays in group.items()
        for name in arrays
        if parameter(name).kind is Kind.GAIN
    }


def _llama(tensors: Tensors, *further: tuple[str, str, str]) -> dict[Leaf, str]:
    """Saved without a head, names lack the `model.` in front."""
    start = "" if "embed_tokens.weight" in tensors else "model."
    names = {
        ("embed", "~", "table"): start + "embed_tokens.weight",
        ("unembed", "~", "norm_gain"): start + "norm.weight",
        UNEMBED_TABLE: "lm_head.weight",
    }
    in_layers = (*_LLAMA, *further)
    return names | _in_layers(*in_layers, start=start + "layers.{layer}.")


_LLAMA = (
    ("attention", "norm_gain", "input_layernorm.weight"),
    *_with_bias("attention", "query", "self_attn.q_proj"),
    *_with_bias("attention", "key", "self_attn.k_proj"),
    *_with_bias("attention", "value", "self_attn.v_proj"),
    ("attention", "query_norm_gain", "self_attn.q_norm.weight"),
    ("attention", "key_norm_gain", "self_attn.k_norm.weight"),
    *_with_bias("attention", "output", "self_attn.o_proj"),
    ("feedforward", "norm_gain", "post_attention_layernorm.weight"),
    *_with_bias("feedforward", "gate", "mlp.gate_proj"),
    *_with_bias("feedforward", "up", "mlp.up_proj"),
    *_with_bias("feedforward", "down", "mlp.down_proj"),
)
