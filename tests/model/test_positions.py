"""Rotary positions: what makes them relative, and how they are stretched."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.model import ModelConfig, RopeScaling
from mcq_jax.model.positions import (
    Places,
    distinct_rotations,
    layer_frequencies,
    places_of,
    rotary_frequencies,
    rotate,
)
from tests import tiny

CONFIG = tiny.CASES["every head its own keys, full rotation"]
ROUNDING = 1e-5


def _turned(x, position: int, frequencies) -> np.ndarray:
    angles = position * np.asarray(frequencies, np.float32)[None, None]
    places = Places(jnp.array([position]), jnp.cos(angles), jnp.sin(angles))
    return np.asarray(rotate(jnp.asarray(x, jnp.float32)[None], places, 0)[0])


def test_a_pair_turns_by_position_times_frequency():
    # Dimensions i and i + half are a pair: (1, 0) turned by 3 * 0.5, (0, 1) by 3 * 2.
    turned = _turned([1.0, 0.0, 0.0, 1.0, 7.0], 3, [0.5, 2.0])
    expected = [math.cos(1.5), -math.sin(6.0), math.sin(1.5), math.cos(6.0), 7.0]
    np.testing.assert_allclose(turned, expected, atol=ROUNDING)


def test_layers_of_one_rotation_share_their_turns():
    config = dataclasses.replace(
        CONFIG, layers=4, unrotated_layers=(1,), windowed_layers=(3,), window=2,
        windowed_rope_base=7.0,
    )  # fmt: skip
    frequencies, of_layer = distinct_rotations(config)
    assert len(frequencies) == 3 and of_layer[0] == of_layer[2]
    np.testing.assert_array_equal(frequencies[of_layer], layer_frequencies(config))
    places = places_of(jnp.array([[0, 7]]), config)
    assert places.cosine.shape == (1, 3, 2, config.rotary_width // 2)
    expected = np.sin(7 * frequencies.astype(np.float64))
    np.testing.assert_allclose(places.sine[0, :, 1], expected, atol=ROUNDING)


def test_scores_depend_on_the_distance_only():
    generator = np.random.default_rng(0)
    query, key = generator.normal(size=(2, CONFIG.head_width))
    frequencies = rotary_frequencies(CONFIG)
    scores = [
        _turned(query, 5 + shift, frequencies) @ _turned(key, 2 + shift, frequencies)
        for shift in (0, 1, 9)
    ]
    np.testing.assert_allclose(scores, scores[0], atol=ROUNDING)
    nearer = _turned(query, 5, frequencies) @ _turned(key, 3, frequencies)
    assert abs(nearer - scores[0]) > 0.01


def test_frequency_zero_leaves_a_pair_unturned():
    x = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    turned = _turned(x, 11, [0.0, 0.3])
    np.testing.assert_array_equal(turned[[0, 2]], x[[0, 2]])
    assert (turned[[1, 3]] != x[[1, 3]]).all()


def test_no_rotary_width_means_no_rotation():
    frequencies = rotary_frequencies(dataclasses.replace(CONFIG, rotary_width=0))
    x = np.array([1.0, 2.0, 3.0], np.float32)
    np.testing.assert_array_equal(_turned(x, 5, frequencies), x)


def test_frequencies_fall_geometrically_from_one():
    frequencies = rotary_frequencies(CONFIG)
    expected = [CONFIG.rope_base ** (-i / 3) for i in range(3)]
    np.testing.assert_allclose(frequencies, expected, rtol=1e-6)
    stretched = rotary_frequencies(
        dataclasses.replace(CONFIG, rope_scaling=RopeScaling.LINEAR, rope_factor=4.0)
    )
    np.testing.assert_allclose(stretched, np.array(expected) / 4, rtol=1e-6)


def _llama3_frequency(frequency: float, config: ModelConfig) -> float:
    """As the paper's release has it, wavelength by wavelength."""
    wavelength = 2 * math.pi / frequency
    longest = config.rope_original_context / config.rope_low_factor
    shortest = config.rope_original_context / config.rope_high_factor
    if wavelength < shortest:
        return frequency
    if wavelength > longest:
        return frequency / config.rope_factor
    turns = config.rope_original_context / wavelength
    smooth = (turns - config.rope_low_factor) / (
        config.rope_high_factor - config.rope_low_factor
    )
    return (1 - smooth) * frequency / config.rope_factor + smooth * frequency


@pytest.mark.parametrize("original_context", [64, 512, 8192])
def test_llama3_stretches_by_wavelength(original_context: int):
    plain = dataclasses.replace(
        CONFIG, head_width=64, rotary_width=64, rope_base=500_000.0
    )
    config = dataclasses.replace(
        plain,
        rope_scaling=RopeScaling.LLAMA3,
        rope_factor=8.0,
        rope_low_factor=1.0,
        rope_high_factor=4.0,
        rope_original_context=original_context,
    )
    expected = [_llama3_frequency(float(f), config) for f in rotary_frequencies(plain)]
    np.testing.assert_allclose(rotary_frequencies(config), expected, rtol=1e-5)
    assert (rotary_frequencies(config) < 0.2 * rotary_frequencies(plain)).any()
    assert (rotary_frequencies(config) == rotary_frequencies(plain)).any()
