"""Gemma 3, text only: normed heads, windows in five layers of six."""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description
from mcq_jax.checkpoints.families.family import Family, GgufFamily, Tensors
from mcq_jax.checkpoints.families.gemma import read_gemma
from mcq_jax.checkpoints.families.gemma2 import (
    describe_gemma2,
    four_norms,
    read_gemma2,
)
from mcq_jax.checkpoints.huggingface_rope import read_two_ropes
from mcq_jax.model import ModelConfig, QueryKeyNorm


def _config(attributes: Attributes) -> ModelConfig:
    every = attributes.take("sliding_window_pattern", int, 6)
    # The reference keeps the value, and its attention never uses it.
    attributes.ignore("attn_logit_softcapping")
    settings = read_gemma(attributes, context=131_072)
    return ModelConfig(
        **settings,
        **read_two_ropes(attributes, settings["head_width"]),
        **read_gemma2(attributes, settings["layers"], every=every, caps=(None, None)),
        query_key_norm=QueryKeyNorm.HEAD,
    )


def _gguf(attributes: Attributes, tensors: Tensors) -> Description:
    """Windowed layers rotate by 10,000, which goes unsaid."""
    return describe_gemma2(
        attributes,
        tensors,
        largest=62,
        every=attributes.take("attention.sliding_window_pattern", int, 6),
        query_key_norm=QueryKeyNorm.HEAD,
        windowed_rope_base=attributes.take("rope.freq_base_swa", float, 10_000.0),
    )


FAMILY = Family(
    model_type="gemma3_text",
    architecture="Gemma3ForCausalLM",
    config=_config,
    names=four_norms,
    is_tied=True,
    gguf=GgufFamily(architecture="gemma3", describe=_gguf),
)
