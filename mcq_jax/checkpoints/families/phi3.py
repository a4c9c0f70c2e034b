"""Phi-3 and Phi-4-mini without longrope, which is refused by its name.

Queries, keys and values are one tensor, gate and up another, in both kinds of files.
"""

import dataclasses

from mcq_jax.checkpoints import gguf_names
from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description, Leaf, Names
from mcq_jax.checkpoints.families.family import Family, GgufFamily, Tensors
from mcq_jax.checkpoints.gguf_config import read_config
from mcq_jax.checkpoints.huggingface_names import llama_names
from mcq_jax.checkpoints.huggingface_settings import read_llama
from mcq_jax.checkpoints.packed_tensors import (
    GATE,
    QKV,
    QKV_LEAVES,
    UP,
    heads_in_a_row,
)
from mcq_jax.checkpoints.views import View, one_after_another
from mcq_jax.checkpoints.windows import windows_in
from mcq_jax.model import ModelConfig


def _config(attributes: Attributes) -> ModelConfig:
    attributes.expect("attention_bias", False)
    attributes.expect("lm_head_bias", False)
    attributes.expect("full_attn_mod", 1)
    attributes.expect("interpolate_factor", 1)
    # The code that some folders bring is that of transformers; only longrope reads
    # the original context.
    attributes.ignore("auto_map", "original_max_position_embeddings")
    settings = read_llama(
        attributes, context=4096, norm_epsilon=1e-5, rotary_fraction=1.0
    )
    window = attributes.take("sliding_window", int, None)
    return ModelConfig(**settings, **windows_in(range(settings["layers"]), window))


def _names(config: ModelConfig, tensors: Tensors) -> Names:
    return llama_names(
        tensors,
        *(("attention", name, "self_attn.qkv_proj.weight") for name in QKV),
        *(("feedforward", name, "mlp.gate_up_proj.weight") for name in ("gate", "up")),
        views=_views(config),
    )


def _gguf(attributes: Attributes, tensors: Tensors) -> Description:
    """What is called `ffn_up` holds the gate as well."""
    window = attributes.take("attention.sliding_window", int, 0)
    turning = attributes.take("rope.dimension_count", int)
    config = read_config(attributes, tensors, rotary_width=turning)
    windows = windows_in(range(config.layers if window else 0), window)
    packed = {leaf: gguf_names.QKV for leaf in QKV_LEAVES}
    return gguf_names.description(
        dataclasses.replace(config, **windows),
        tensors,
        stored=gguf_names.NAMES | packed | {GATE: gguf_names.NAMES[UP]},
        views=_views(config),
    )


def _views(config: ModelConfig) -> dict[Leaf, View]:
    heads = zip(QKV_LEAVES, heads_in_a_row(config), strict=True)
    neurons = one_after_another(config.neurons, config.neurons)
    return dict(heads) | dict(zip((GATE, UP), neurons, strict=True))


FAMILY = Family(
    model_type="phi3",
    architecture="Phi3ForCausalLM",
    config=_config,
    names=_names,
    gguf=GgufFamily(architecture="phi3", describe=_gguf),
)
