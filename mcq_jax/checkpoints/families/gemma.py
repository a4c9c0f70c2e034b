"""Gemma 1: scaled embeddings, and gains that are stored as their difference from 1."""

from typing import Any

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Leaf, Names
from mcq_jax.checkpoints.families.family import Family, Tensors
from mcq_jax.checkpoints.huggingface_names import llama_names
from mcq_jax.checkpoints.huggingface_rope import read_rope
from mcq_jax.checkpoints.huggingface_settings import read_biases, read_rms, read_shape
from mcq_jax.checkpoints.views import View
from mcq_jax.model import Activation, ModelConfig, parameter_shapes
from mcq_jax.parameter_table import Kind, parameter


def _config(attributes: Attributes) -> ModelConfig:
    # Its `gelu` is meant as the approximation by tanh.
    for name in ("hidden_act", "hidden_activation"):
        attributes.expect(name, "gelu", "gelu_pytorch_tanh")
    settings = read_gemma(attributes, context=8192)
    return ModelConfig(
        **settings,
        **read_rope(attributes, settings["head_width"]),
        activation=Activation.GELU_TANH,
    )


def _names(config: ModelConfig, tensors: Tensors) -> Names:
    return llama_names(tensors, views=raised_gains(config))


def read_gemma(attributes: Attributes, *, context: int) -> dict[str, Any]:
    """What all Gemmas share; `context` is where the config is silent."""
    attributes.expect("use_bidirectional_attention", False)
    shape = read_shape(attributes, head_width=256)
    return {
        **shape,
        **read_rms(attributes),
        **read_biases(attributes),
        "embedding_scale": shape["width"] ** 0.5,
        "context": attributes.take("max_position_embeddings", int, context),
    }


def raised_gains(config: ModelConfig) -> dict[Leaf, View]:
    """Views of all gains, 1 more than what is stored."""
    shapes = parameter_shapes(config)
    groups = {"layers": shapes.layers[0], "unembed": shapes.unembed}
    return {
        (part, module, name): View(plus=1.0)
        for part, group in groups.items()
        for module, arrays in group.items()
        for name in arrays
        if parameter(name).kind is Kind.GAIN
    }


FAMILY = Family(
    model_type="gemma",
    architecture="GemmaForCausalLM",
    config=_config,
    names=_names,
    is_tied=True,
)
