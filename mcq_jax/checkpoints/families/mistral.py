"""Mistral: every layer has the window, if there is one."""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.families.family import Family
from mcq_jax.checkpoints.huggingface_settings import read_llama
from mcq_jax.checkpoints.windows import windows_in
from mcq_jax.model import ModelConfig


def _config(attributes: Attributes) -> ModelConfig:
    settings = read_llama(attributes, context=131_072)
    window = attributes.take("sliding_window", int, 4096, null=None)
    return ModelConfig(**settings, **windows_in(range(settings["layers"]), window))


FAMILY = Family(model_type="mistral", architecture="MistralForCausalLM", config=_config)
