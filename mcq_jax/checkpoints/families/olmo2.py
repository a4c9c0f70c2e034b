"""OLMo 2: norms behind the blocks only, and over all queries (keys) together."""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Names
from mcq_jax.checkpoints.families.family import Family, Tensors
from mcq_jax.checkpoints.huggingface_names import llama_names
from mcq_jax.checkpoints.huggingface_settings import read_biases, read_llama
from mcq_jax.model import ModelConfig, QueryKeyNorm


def _config(attributes: Attributes) -> ModelConfig:
    return ModelConfig(
        **read_llama(attributes, context=2048, norm_epsilon=1e-5),
        **read_biases(attributes),
        pre_norm=False,
        post_norm=True,
        query_key_norm=QueryKeyNorm.PROJECTION,
    )


def _names(config: ModelConfig, tensors: Tensors) -> Names:
    return llama_names(
        tensors,
        ("attention", "post_norm_gain", "post_attention_layernorm.weight"),
        ("feedforward", "post_norm_gain", "post_feedforward_layernorm.weight"),
    )


FAMILY = Family(
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    config=_config,
    names=_names,
)
