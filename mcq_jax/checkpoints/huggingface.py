"""A Hugging Face folder's model: `config.json` to `ModelConfig`, names of tensors.

Every attribute of `config.json` is used, checked or known to be without effect; any
other is refused by name. A further family is a file in `families`, and a line there.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping

from mcq_jax.checkpoints import families
from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import UNEMBED_TABLE, Description, StoredTensor
from mcq_jax.checkpoints.families import Family
from mcq_jax.checkpoints.safetensors import read_json, same_numbers
from mcq_jax.checkpoints.without_effect import take_without_effect
from mcq_jax.model import ModelConfig

FAMILIES = {family.model_type: family for family in families.FAMILIES}


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
