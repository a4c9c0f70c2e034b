"""Llama 1 to 3, SmolLM2, and what else says so."""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description
from mcq_jax.checkpoints.families.family import Family, GgufFamily, Tensors
from mcq_jax.checkpoints.gguf_config import read_config
from mcq_jax.checkpoints.gguf_names import description
from mcq_jax.checkpoints.huggingface_settings import read_biases, read_llama
from mcq_jax.model import ModelConfig


def _config(attributes: Attributes) -> ModelConfig:
    attributes.expect("rope_interleaved", False)
    return ModelConfig(
        **read_llama(attributes, context=2048),
        **read_biases(attributes, has_mlp_bias=True),
    )


def _gguf(attributes: Attributes, tensors: Tensors) -> Description:
    """Queries and keys are stored for a rotation that pairs neighbours."""
    config = read_config(attributes, tensors, qkv_bias="blk.0.attn_q.bias" in tensors)
    turning = {"query", "key", "query_bias", "key_bias"}
    return description(config, tensors, interleaved=frozenset(turning))


FAMILY = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    config=_config,
    gguf=GgufFamily(architecture="llama", describe=_gguf),
)
