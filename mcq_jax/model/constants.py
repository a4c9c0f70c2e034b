"""`LayerConstants`: numbers that differ by layer but not in structure."""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from mcq_jax.model.config import ModelConfig
from mcq_jax.model.positions import rotary_frequencies


class LayerConstants(NamedTuple):
    """What one layer knows of itself. Stacked arrays have a leading layer axis."""

    # The layer's index, by which edits find their slot.
    layer: Int[ArrayLike, "*layer"]
    # Rotary angles per position; 0 leaves a pair of dimensions unturned.
    frequencies: Float[ArrayLike, "*layer half"]


def layer_constants(config: ModelConfig) -> LayerConstants:
    """Returns the constants of all layers, stacked `[layer, …]`."""
    frequencies = rotary_frequencies(config)
    return LayerConstants(
        layer=np.arange(config.layers, dtype=np.int32),
        frequencies=np.broadcast_to(frequencies, (config.layers, len(frequencies))),
    )
