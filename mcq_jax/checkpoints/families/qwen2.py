"""Qwen2 and Qwen2.5: biases on queries, keys and values; windows in upper layers."""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description
from mcq_jax.checkpoints.families.family import Family, GgufFamily, Tensors
from mcq_jax.checkpoints.gguf_config import read_config
from mcq_jax.checkpoints.gguf_names import description
from mcq_jax.checkpoints.huggingface_settings import read_llama
from mcq_jax.checkpoints.windows import read_upper_windows
from mcq_jax.model import ModelConfig


def _config(attributes: Attributes) -> ModelConfig:
    attributes.expect("use_mrope", False)
    settings = read_llama(attributes, context=32_768)
    windows = read_upper_windows(attributes, settings["layers"])
    return ModelConfig(**settings, **windows, qkv_bias=True)


def _gguf(attributes: Attributes, tensors: Tensors) -> Description:
    return description(read_config(attributes, tensors, qkv_bias=True), tensors)


FAMILY = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    config=_config,
    gguf=GgufFamily(architecture="qwen2", describe=_gguf),
)
