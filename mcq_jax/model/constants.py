"""`LayerConstants`: numbers that differ by layer but not in structure."""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from mcq_jax.model.config import ModelConfig, check_config
from mcq_jax.model.positions import distinct_rotations


class LayerConstants(NamedTuple):
    """What one layer knows of itself. Stacked arrays have a leading layer axis."""

    # The layer's index, by which edits find their slot.
    layer: Int[ArrayLike, "*layer"]
    # Which of the model's rotations its queries and keys turn by.
    rotation: Int[ArrayLike, "*layer"]
    # What the products of queries and keys are multiplied by.
    score_scale: Float[ArrayLike, "*layer"]
    # How many tokens are in sight, the own included; None if all are in all layers.
    window: Int[ArrayLike, "*layer"] | None


def layer_constants(config: ModelConfig) -> LayerConstants:
    """Returns the constants of all layers, stacked `[layer, …]`."""
    check_config(config)
    return LayerConstants(
        layer=np.arange(config.layers, dtype=np.int32),
        rotation=distinct_rotations(config)[1],
        score_scale=_score_scales(config),
        window=_windows(config),
    )


def _score_scales(config: ModelConfig) -> np.ndarray:
    scale = config.score_scale
    scale = config.head_width**-0.5 if scale is None else scale
    layers = np.arange(config.layers)
    divisors = layers + 1 if config.score_scale_by_layer else np.ones_like(layers)
    return (scale / divisors).astype(np.float32)


def _windows(config: ModelConfig) -> np.ndarray | None:
    if config.window is None:
        return None
    windows = np.full(config.layers, _EVERYTHING, np.int32)
    windows[list(config.windowed_layers)] = config.window
    return windows


# A window larger than any context.
_EVERYTHING = 2**30
