"""`Family`: what is a model family's own, in Hugging Face folders and GGUF files.

A family's file reads its settings and names its tensors. What families have in common
is beside this folder: `huggingface_settings`, `huggingface_names`, `packed_tensors`,
`gguf_config` and `gguf_names`.
"""

import dataclasses
from collections.abc import Callable, Mapping

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description, Names, StoredTensor
from mcq_jax.checkpoints.huggingface_names import llama_names
from mcq_jax.model import ModelConfig

Tensors = Mapping[str, StoredTensor]


def named_as_llama(config: ModelConfig, tensors: Tensors) -> Names:
    """Llama's names, which most families have taken over."""
    return llama_names(tensors)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GgufFamily:
    """A family in GGUF files."""

    # As `general.architecture` has it.
    architecture: str
    # The config and the tensors' names, from the metadata of this architecture.
    describe: Callable[[Attributes, Tensors], Description]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A family in Hugging Face folders, and in GGUF files where it could be checked."""

    # As `config.json` has them, `model_type` and the only one of `architectures`.
    model_type: str
    architecture: str
    # Takes what the family uses of `config.json`; what it leaves is judged by others.
    config: Callable[[Attributes], ModelConfig]
    names: Callable[[ModelConfig, Tensors], Names] = named_as_llama
    # Whether the unembedding is the embedding's table where `config.json` is silent.
    is_tied: bool = False
    # None: files of the family are refused, since none could be checked.
    gguf: GgufFamily | None = None
