"""A GGUF file's model: metadata to `ModelConfig`, and the names of its tensors.

Families that could not be checked against a file or `transformers` have no GGUF form
(`families`), and so are refused by name.
"""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description
from mcq_jax.checkpoints.families import FAMILIES
from mcq_jax.checkpoints.gguf_file import GgufFile

ARCHITECTURES = {
    family.gguf.architecture: family.gguf for family in FAMILIES if family.gguf
}


def describe(file: GgufFile) -> Description:
    """Returns the config and the tensor names of a GGUF file's model."""
    architecture = file.metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{file.path} has a model of architecture {architecture!r}; supported are "
            f"{', '.join(ARCHITECTURES)}."
        )
    parts = file.metadata.get("split.count", 1)
    if parts != 1:
        raise ValueError(
            f"{file.path} is one of {parts} parts of a model; join them first "
            "(llama.cpp has gguf-split --merge)."
        )
    start = f"{architecture}."
    values = {
        key.removeprefix(start): value
        for key, value in file.metadata.items()
        if key.startswith(start)
    }
    attributes = Attributes(values, f"{file.path} ({start}…)")
    description = ARCHITECTURES[architecture].describe(attributes, file.tensors)
    attributes.finish()
    return description
