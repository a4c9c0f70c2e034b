"""GPT-NeoX and Pythia: blocks in parallel, a quarter of each head rotates.

Every head's query, key and value follow one another in one tensor.
"""

import re

import numpy as np

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import UNEMBED_TABLE, Names
from mcq_jax.checkpoints.families.family import Family, Tensors
from mcq_jax.checkpoints.huggingface_names import (
    FREQUENCIES,
    in_layers,
    layer_norms,
    packed,
    with_bias,
)
from mcq_jax.checkpoints.huggingface_rope import read_rope
from mcq_jax.checkpoints.huggingface_settings import (
    read_activation,
    read_equal_heads,
    read_layer_norm,
)
from mcq_jax.checkpoints.packed_tensors import views_with_biases
from mcq_jax.checkpoints.views import View
from mcq_jax.model import ModelConfig

# Fine-tunes repeat them under Llama's names, which the reference does not read.
_SECOND_NAMES = (
    ("rotary_emb_base", "rope_theta", 10_000),
    ("rotary_pct", "partial_rotary_factor", 0.25),
)


def _config(attributes: Attributes) -> ModelConfig:
    for name, other, default in _SECOND_NAMES:
        attributes.drop_double(name, other, default)
    heads = read_equal_heads(
        attributes, width_name="hidden_size", heads_name="num_attention_heads"
    )
    has_bias = attributes.take("attention_bias", bool, True)
    return ModelConfig(
        **heads,
        **read_layer_norm(attributes, "layer_norm_eps"),
        **read_rope(
            attributes,
            heads["head_width"],
            fraction=0.25,
            base_name="rotary_emb_base",
            fraction_name="rotary_pct",
        ),
        layers=attributes.take("num_hidden_layers", int),
        neurons=attributes.take("intermediate_size", int),
        vocabulary=attributes.take("vocab_size", int),
        parallel=attributes.take("use_parallel_residual", bool, True),
        context=attributes.take("max_position_embeddings", int, 2048),
        activation=read_activation(attributes, "hidden_act", "gelu"),
        qkv_bias=has_bias,
        attention_output_bias=has_bias,
        mlp_bias=True,
        gated=False,
    )


def _names(config: ModelConfig, tensors: Tensors) -> Names:
    is_old = "embed_out.weight" in tensors
    start = "" if "embed_in.weight" in tensors else "gpt_neox."
    stored = {
        ("embed", "~", "table"): start + "embed_in.weight",
        ("unembed", "~", "norm_gain"): start + "final_layer_norm.weight",
        ("unembed", "~", "norm_bias"): start + "final_layer_norm.bias",
        UNEMBED_TABLE: "embed_out.weight" if is_old else "lm_head.weight",
    } | in_layers(
        *layer_norms("input_layernorm", "post_attention_layernorm"),
        *packed("attention.query_key_value"),
        *with_bias("attention", "output", "attention.dense"),
        *with_bias("feedforward", "up", "mlp.dense_h_to_4h"),
        *with_bias("feedforward", "down", "mlp.dense_4h_to_h"),
        start=start + "layers.{layer}.",
    )
    outputs = np.arange(3 * config.heads * config.head_width)
    by_head = outputs.reshape(config.heads, 3, config.head_width).swapaxes(0, 1)
    parts = [View(outputs=part.ravel(), of=len(outputs)) for part in by_head]
    masks = re.escape(start) + r"layers\.\d+\.attention\.(masked_)?bias"
    return Names(
        stored=stored, views=views_with_biases(parts), ignored=(masks, FREQUENCIES)
    )


FAMILY = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    config=_config,
    names=_names,
)
