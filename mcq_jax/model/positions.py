"""Rotary positions: queries and keys turn by an angle that grows with position."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from mcq_jax.model.config import ModelConfig, RopeScaling


class Places(NamedTuple):
    """Where tokens stand in their sequence, and how far they turn there.

    A pass works the turns out once, ahead of its layers. Within a layer a compiler
    would fuse them into what they turn, and do so again for every head.
    """

    positions: Int[Array, "*row position"]
    # Of the angle of every pair of dimensions, in each of the model's rotations.
    cosine: Float[Array, "*row rotation position half"]
    sine: Float[Array, "*row rotation position half"]


@functools.partial(jax.jit, static_argnames="config")
def places_of(positions: Int[Array, "*row position"], config: ModelConfig) -> Places:
    """Returns tokens' positions as layers want them."""
    rotations, _ = distinct_rotations(config)
    angles = jnp.multiply.outer(positions.astype(jnp.float32), rotations)
    angles = jnp.moveaxis(angles, -2, -3)
    return Places(positions, jnp.cos(angles), jnp.sin(angles))


def rotate(
    x: Float[Array, "position *heads head_width"],
    places: Places,
    rotation: Int[ArrayLike, ""],
) -> Float[Array, "position *heads head_width"]:
    """Returns queries or keys turned to their positions, computed in float32.

    The rotating dimensions come first and are paired half against half ("rotate
    half"): dimension i turns with dimension i + half. A frequency of 0 leaves its
    pair unturned, so layers without rotation need no branch.
    """
    half = places.cosine.shape[-1]
    if half == 0:
        return x
    heads = tuple(range(1, x.ndim - 1))
    cosine = jnp.expand_dims(places.cosine[rotation], heads)
    sine = jnp.expand_dims(places.sine[rotation], heads)
    wide = x.astype(jnp.float32)
    first, second = wide[..., :half], wide[..., half : 2 * half]
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return jnp.concatenate([*turned, wide[..., 2 * half :]], -1).astype(x.dtype)


def distinct_rotations(
    config: ModelConfig,
) -> tuple[Float[np.ndarray, "rotation half"], Int[np.ndarray, " layer"]]:
    """Returns the frequencies of the model's rotations, and which each layer has."""
    frequencies, of_layer = np.unique(
        layer_frequencies(config), axis=0, return_inverse=True
    )
    return frequencies, of_layer.reshape(-1).astype(np.int32)


def layer_frequencies(config: ModelConfig) -> np.ndarray:
    """Returns the frequencies of every layer, `[layer, half]`."""
    frequencies = np.tile(rotary_frequencies(config), (config.layers, 1))
    if config.windowed_rope_base is not None:
        own = _unscaled(config.windowed_rope_base, config)
        frequencies[list(config.windowed_layers)] = own
    frequencies[list(config.unrotated_layers)] = 0
    return frequencies


def rotary_frequencies(config: ModelConfig) -> np.ndarray:
    """Returns the angle per position of each pair of dimensions, `[half]`."""
    frequencies = _unscaled(config.rope_base, config)
    if config.rope_scaling is RopeScaling.LINEAR:
        frequencies = frequencies / config.rope_factor
    if config.rope_scaling is RopeScaling.LLAMA3:
        frequencies = _llama3(frequencies, config)
    return frequencies.astype(np.float32)


def _unscaled(base: float, config: ModelConfig) -> np.ndarray:
    pairs = np.arange(0, config.rotary_width, 2, dtype=np.float64)
    return base ** -(pairs / max(config.rotary_width, 1))


def _llama3(frequencies: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Stretches slow rotations, keeps fast ones, blends between (Llama 3.1)."""
    turns = config.rope_original_context * frequencies / (2 * math.pi)
    low, high = config.rope_low_factor, config.rope_high_factor
    keep = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return frequencies * (keep + (1 - keep) / config.rope_factor)
