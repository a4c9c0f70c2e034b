"""Qwen3: normed heads in place of biases; windows in upper layers."""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description
from mcq_jax.checkpoints.families.family import Family, GgufFamily, Tensors
from mcq_jax.checkpoints.gguf_config import read_config
from mcq_jax.checkpoints.gguf_names import description
from mcq_jax.checkpoints.huggingface_settings import read_biases, read_llama
from mcq_jax.checkpoints.windows import read_upper_windows
from mcq_jax.model import ModelConfig, QueryKeyNorm


def _config(attributes: Attributes) -> ModelConfig:
    settings = read_llama(attributes, context=32_768, head_width=128)
    return ModelConfig(
        **settings,
        **read_biases(attributes),
        **read_upper_windows(attributes, settings["layers"]),
        query_key_norm=QueryKeyNorm.HEAD,
    )


def _gguf(attributes: Attributes, tensors: Tensors) -> Description:
    config = read_config(attributes, tensors, query_key_norm=QueryKeyNorm.HEAD)
    return description(config, tensors)


FAMILY = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    config=_config,
    gguf=GgufFamily(architecture="qwen3", describe=_gguf),
)
