"""The forward pass: start reading in `transformer`."""

from mcq_jax.model.blocks import Block
from mcq_jax.model.config import (
    Activation,
    ModelConfig,
    Norm,
    Precision,
    QueryKeyNorm,
    RopeScaling,
)
from mcq_jax.model.constants import LayerConstants, layer_constants
from mcq_jax.model.finiteness import NotFinite, first_nonfinite
from mcq_jax.model.generation import Generated, generate
from mcq_jax.model.int8 import Int8Weight, dequantise
from mcq_jax.model.parameters import (
    Parameters,
    initialise,
    parameter_shapes,
    segment_sizes,
    stack_layers,
)
from mcq_jax.model.presence import sites_of
from mcq_jax.model.presets import chinchilla
from mcq_jax.model.readers import read_by
from mcq_jax.model.run import Output, forward

__all__ = [
    "Activation",
    "Block",
    "Generated",
    "Int8Weight",
    "LayerConstants",
    "ModelConfig",
    "Norm",
    "NotFinite",
    "Output",
    "Parameters",
    "Precision",
    "QueryKeyNorm",
    "RopeScaling",
    "chinchilla",
    "dequantise",
    "first_nonfinite",
    "forward",
    "generate",
    "initialise",
    "layer_constants",
    "parameter_shapes",
    "read_by",
    "segment_sizes",
    "sites_of",
    "stack_layers",
]
