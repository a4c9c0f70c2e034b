"""A Hugging Face folder's model: `config.json` to `ModelConfig`, names of tensors.

Every attribute of `config.json` is used, checked or known to be without effect; any
other is refused by name. A further family is a function in `huggingface_configs`, its
tensors' names in `huggingface_names`, and its line in `FAMILIES`.
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping

from mcq_jax.checkpoints import huggingface_configs as configs
from mcq_jax.checkpoints import huggingface_names as names_of
from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import (
    UNEMBED_TABLE,
    Description,
    Names,
    StoredTensor,
)
from mcq_jax.checkpoints.safetensors import read_json, same_numbers
from mcq_jax.checkpoints.without_effect import take_without_effect
from mcq_jax.model import ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between model types: config, names, and what is left unsaid."""

    architecture: str
    config: Callable[[Attributes], ModelConfig]
    names: Callable[[ModelConfig, Mapping[str, StoredTensor]], Names] = names_of.llama
    # Whether the unembedding is the embedding's table where the config is silent.
    is_tied: bool = False


FAMILIES = {
    "llama": Family(architecture="LlamaForCausalLM", config=configs.llama),
    "mistral": Family(architecture="MistralForCausalLM", config=configs.mistral),
    "qwen2": Family(architecture="Qwen2ForCausalLM", config=configs.qwen2),
    "qwen3": Family(architecture="Qwen3ForCausalLM", config=configs.qwen3),
    "smollm3": Family(
        architecture="SmolLM3ForCausalLM", config=configs.smollm3, is_tied=True
    ),
    "gemma": Family(
        architecture="GemmaForCausalLM",
        config=configs.gemma,
        names=names_of.gemma,
        is_tied=True,
    ),
    "gemma2": Family(
        architecture="Gemma2ForCausalLM",
        config=configs.gemma2,
        names=names_of.gemma2,
        is_tied=True,
    ),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM",
        config=configs.gemma3,
        names=names_of.gemma2,
        is_tied=True,
    ),
    "olmo2": Family(
        architecture="Olmo2ForCausalLM", config=configs.olmo2, names=names_of.olmo2
    ),
    "phi3": Family(
        architecture="Phi3ForCausalLM", config=configs.phi3, names=names_of.phi3
    ),
    "gpt2": Family(
        architecture="GPT2LMHeadModel",
        config=configs.gpt2,
        names=names_of.gpt2,
        is_tied=True,
    ),
    "gpt_neox": Family(
        architecture="GPTNeoXForCausalLM",
        config=configs.gpt_neox,
        names=names_of.gpt_neox,
    ),
}


def describe(folder: pathlib.Path, tensors: Mapping[str, StoredTensor]) -> Description:
    """Returns the config and the tensor names of a folder's model."""
    family, config = read_config(folder / "config.json")
    names = family.names(config, tensors)
    table = tensors.get(names.stored["embed", "~", "table"])
    unembedding = tensors.get(names.stored[UNEMBED_TABLE])
    if not config.tied or table is None or unembedding is None:
        return Description(config=config, names=names)
    # Both are stored. As in transformers 5, they are tied if they are the same numbers.
    if not same_numbers(table, unembedding):
        config = dataclasses.replace(config, tied=False)
        return Description(config=config, names=names)
    repeated = names.stored[UNEMBED_TABLE].replace(".", r"\.")
    names = dataclasses.replace(names, ignored=(*names.ignored, repeated))
    return Description(config=config, names=names)


def read_config(path: pathlib.Path) -> tuple[Family, ModelConfig]:
    """Returns family and config, as it stands: `describe` knows what is stored."""
    attributes = Attributes(read_json(path), str(path))
    kind = attributes.take("model_type", str)
    if kind not in FAMILIES:
        raise ValueError(
            f"{path} describes a model of type {kind!r}; supported are "
            f"{', '.join(FAMILIES)}."
        )
    family = FAMILIES[kind]
    is_tied = attributes.take("tie_word_embeddings", bool, family.is_tied)
    # Saved without a head, a model has one only if that is the embedding's table.
    headless = [re.sub(r"(ForCausalLM|LMHeadModel)$", "Model", family.architecture)]
    architectures = [[family.architecture], *[headless] * is_tied]
    attributes.expect("architectures", *architectures)
    config = dataclasses.replace(family.config(attributes), tied=is_tied)
    take_without_effect(attributes, config)
    attributes.finish()
    return family, config
