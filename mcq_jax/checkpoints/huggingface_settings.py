"""Settings that families read alike from a `config.json`.

Each function takes its attributes and returns fields of `ModelConfig`. Defaults are
those of `transformers` where an attribute may be left out; what the model's shape
cannot do without is required.
"""

from typing import Any

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.huggingface_rope import read_rope
from mcq_jax.model import Activation, Norm


def read_llama(
    attributes: Attributes,
    *,
    context: int,
    head_width: int | None = None,
    norm_epsilon: float = 1e-6,
    rope_base: float = 10_000.0,
    rotary_fraction: float | None = None,
) -> dict[str, Any]:
    """Shape, norms, rotation and activation, as Llama and its kin spell them.

    Args:
        context: this and the others where the config is silent. A head is as wide as
            the model's width divided among the heads.
        rotary_fraction: None if the family only rotates whole heads.
    """
    shape = read_shape(attributes, head_width)
    return {
        **shape,
        **read_rms(attributes, norm_epsilon),
        **read_rope(
            attributes, shape["head_width"], base=rope_base, fraction=rotary_fraction
        ),
        "context": attributes.take("max_position_embeddings", int, context),
        "activation": read_activation(attributes, "hidden_act", "silu"),
    }


def read_shape(attributes: Attributes, head_width: int | None = None) -> dict[str, Any]:
    """What shapes the arrays of Llama and its kin, with keys that heads may share."""
    width = attributes.take("hidden_size", int)
    heads = attributes.take("num_attention_heads", int)
    kv_heads = attributes.take("num_key_value_heads", int, heads)
    if min(heads, kv_heads) < 1 or heads % kv_heads:
        raise ValueError(
            f"{heads} attention heads and {kv_heads} key/value heads in "
            f"{attributes.source}; the second must divide the first."
        )
    default = width // heads if head_width is None else head_width
    return {
        "layers": attributes.take("num_hidden_layers", int),
        "width": width,
        "kv_heads": kv_heads,
        "group": heads // kv_heads,
        "head_width": attributes.take("head_dim", int, default),
        "neurons": attributes.take("intermediate_size", int),
        "vocabulary": attributes.take("vocab_size", int),
    }


def read_equal_heads(
    attributes: Attributes, *, width_name: str, heads_name: str
) -> dict[str, Any]:
    """Width and heads of models in which every head has keys and values of its own."""
    width = attributes.take(width_name, int)
    heads = attributes.take(heads_name, int)
    if heads < 1 or width % heads:
        raise ValueError(
            f"{width_name} is {width} and {heads_name} {heads} in {attributes.source}; "
            "the second must divide the first."
        )
    return {
        "width": width,
        "kv_heads": heads,
        "group": 1,
        "head_width": width // heads,
    }


def read_rms(attributes: Attributes, default: float = 1e-6) -> dict[str, Any]:
    """The number that RMS norms add to the mean square."""
    return {"norm_epsilon": attributes.take("rms_norm_eps", float, default)}


def read_layer_norm(attributes: Attributes, name: str) -> dict[str, Any]:
    """Layer norms, and the number that they add to the variance."""
    return {
        "norm": Norm.LAYER,
        "norm_epsilon": attributes.take(name, float, 1e-5),
    }


def read_biases(
    attributes: Attributes, *, has_mlp_bias: bool = False
) -> dict[str, Any]:
    """Which projections of Llama and its kin have biases."""
    has_bias = attributes.take("attention_bias", bool, False)
    biases = {"qkv_bias": has_bias, "attention_output_bias": has_bias}
    if has_mlp_bias:
        biases["mlp_bias"] = attributes.take("mlp_bias", bool, False)
    return biases


def read_activation(attributes: Attributes, name: str, default: str) -> Activation:
    """The activation of feed-forward blocks, by the names of `transformers`."""
    chosen = attributes.take(name, str, default)
    if chosen not in _ACTIVATIONS:
        raise ValueError(
            f"{name} is {chosen!r} in {attributes.source}; supported are "
            f"{', '.join(_ACTIVATIONS)}."
        )
    return _ACTIVATIONS[chosen]


_ACTIVATIONS = {
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_accurate": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "gelu_new": Activation.GELU_TANH,
    "gelu_python_tanh": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "relu": Activation.RELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
}
