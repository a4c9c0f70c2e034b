"""GPT-2, and models trained with it as a template.

Queries, keys and values are one tensor in both kinds of files; Hugging Face folders
store matrices as [input, output].
"""

import re

from mcq_jax.checkpoints import gguf_names
from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import UNEMBED_TABLE, Description, Names
from mcq_jax.checkpoints.families.family import Family, GgufFamily, Tensors
from mcq_jax.checkpoints.gguf_config import read_config
from mcq_jax.checkpoints.huggingface_names import (
    in_layers,
    layer_norms,
    packed,
    with_bias,
)
from mcq_jax.checkpoints.huggingface_settings import (
    read_activation,
    read_equal_heads,
    read_layer_norm,
)
from mcq_jax.checkpoints.packed_tensors import (
    QKV_LEAVES,
    heads_in_a_row,
    views_with_biases,
)
from mcq_jax.checkpoints.views import View
from mcq_jax.model import Activation, ModelConfig, Norm

_SECOND_NAMES = (
    ("n_embd", "hidden_size"),
    ("n_head", "num_attention_heads"),
    ("n_layer", "num_hidden_layers"),
    ("n_positions", "max_position_embeddings"),
)


def _config(attributes: Attributes) -> ModelConfig:
    # Of the first release, which nothing reads; and in which order scores are computed.
    attributes.ignore("n_special", "predict_special_tokens", "reorder_and_upcast_attn")
    for name, other in _SECOND_NAMES:
        attributes.drop_double(name, other, None)
    heads = read_equal_heads(attributes, width_name="n_embd", heads_name="n_head")
    context = attributes.take("n_positions", int, 1024)
    attributes.expect("n_ctx", context)
    is_scaled = attributes.take("scale_attn_weights", bool, True)
    return ModelConfig(
        **heads,
        **read_layer_norm(attributes, "layer_norm_epsilon"),
        layers=attributes.take("n_layer", int),
        neurons=attributes.take("n_inner", int, 4 * heads["width"]),
        vocabulary=attributes.take("vocab_size", int),
        context=context,
        activation=read_activation(attributes, "activation_function", "gelu_new"),
        learned_positions=True,
        rotary_width=0,
        score_scale=None if is_scaled else 1.0,
        score_scale_by_layer=attributes.take(
            "scale_attn_by_inverse_layer_idx", bool, False
        ),
        qkv_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        gated=False,
    )


def _names(config: ModelConfig, tensors: Tensors) -> Names:
    start = "" if "wte.weight" in tensors else "transformer."
    stored = {
        ("embed", "~", "table"): start + "wte.weight",
        ("embed", "~", "position_table"): start + "wpe.weight",
        ("unembed", "~", "norm_gain"): start + "ln_f.weight",
        ("unembed", "~", "norm_bias"): start + "ln_f.bias",
        UNEMBED_TABLE: "lm_head.weight",
    } | in_layers(
        *layer_norms("ln_1", "ln_2"),
        *packed("attn.c_attn"),
        *with_bias("attention", "output", "attn.c_proj"),
        *with_bias("feedforward", "up", "mlp.c_fc"),
        *with_bias("feedforward", "down", "mlp.c_proj"),
        start=start + "h.{layer}.",
    )
    views = views_with_biases(heads_in_a_row(config), is_turned=True)
    for place in (
        ("attention", "output"),
        ("feedforward", "up"),
        ("feedforward", "down"),
    ):
        views["layers", *place] = View(is_turned=True)
    masks = re.escape(start) + r"h\.\d+\.attn\.(masked_)?bias"
    return Names(stored=stored, views=views, ignored=(masks,))


def _gguf(attributes: Attributes, tensors: Tensors) -> Description:
    config = read_config(
        attributes,
        tensors,
        norm=Norm.LAYER,
        norm_epsilon=attributes.take("attention.layer_norm_epsilon", float),
        activation=Activation.GELU_TANH,
        gated=False,
        learned_positions=True,
        rotary_width=0,
        qkv_bias=True,
    )
    stored = dict(gguf_names.NAMES)
    for part, module, name in QKV_LEAVES:
        stored[part, module, name] = gguf_names.QKV
        stored[part, module, f"{name}_bias"] = gguf_names.QKV_BIAS
    views = views_with_biases(heads_in_a_row(config))
    return gguf_names.description(config, tensors, stored=stored, views=views)


FAMILY = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    config=_config,
    names=_names,
    is_tied=True,
    gguf=GgufFamily(architecture="gpt2", describe=_gguf),
)
