"""Relative positions, against a loop over queries and keys written out."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.model.blocks import Block
from mcq_jax.model.relative import key_directions, score_bias, with_content_bias
from tests import tiny

CONFIG = tiny.CASES["as Chinchilla: relative positions"]
KEYS, FIRST_QUERY = 6, 3


def _drawn():
    """Random queries at positions 3, 4 and 5, and the layer's own parameters."""
    generator = np.random.default_rng(0)
    heads = (CONFIG.kv_heads, CONFIG.group, CONFIG.head_width)
    names = {"relative": (*heads, CONFIG.width)}
    names |= dict.fromkeys(("content_bias", "position_bias"), heads)
    drawn = {name: generator.normal(size=shape) for name, shape in names.items()}
    return generator.normal(size=(KEYS - FIRST_QUERY, *heads)), drawn


def _by_hand(query, drawn, head, distance: int) -> float:
    """(q + v) . W r of one head, with r wave by wave."""
    half = CONFIG.width // 2
    angles = [distance / 10_000 ** (2 * i / CONFIG.width) for i in range(half)]
    waves = np.array([*map(np.sin, angles), *map(np.cos, angles)])
    return (query + drawn["position_bias"][head]) @ (drawn["relative"][head] @ waves)


def _block(part: range) -> Block:
    nothing = jnp.zeros((len(part), CONFIG.kv_heads, CONFIG.head_width))
    return Block(nothing, nothing, jnp.array(part), jnp.int32(len(part)))


@pytest.mark.parametrize(
    "parts",
    [
        [range(6)],
        [range(3), range(3, 6)],
        [range(1), range(1, 3), range(3, 6)],
        [range(4), range(3, 6)],  # the last of the first block is out of use
    ],
)
def test_the_bias_of_a_score_is_that_of_its_distance(parts: list[range]):
    q, drawn = _drawn()
    positions = jnp.arange(FIRST_QUERY, KEYS)
    blocks = tuple(_block(part) for part in parts)

    def biases(q):
        directions = key_directions(q, blocks, CONFIG)
        assert directions is not None
        bias = score_bias(q, positions, blocks, directions, CONFIG)
        return jnp.concatenate(bias, -1), with_content_bias(q, CONFIG)

    run = hk.without_apply_rng(hk.transform(biases))
    parameters = {"~": jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), drawn)}
    found, content = run.apply(parameters, jnp.asarray(q, jnp.float32))
    expected_content = q + drawn["content_bias"]
    np.testing.assert_allclose(content, expected_content, rtol=1e-5)
    keys = [key for part in parts for key in part]
    assert found.shape == (CONFIG.kv_heads, CONFIG.group, len(q), len(keys))
    for index, position in enumerate(np.asarray(positions)):
        for place, key in enumerate(keys):
            if key > position:  # out of sight
                continue
            for head in np.ndindex(CONFIG.kv_heads, CONFIG.group):
                one = _by_hand(q[index, *head], drawn, head, position - key)
                np.testing.assert_allclose(
                    found[*head, index, place], one, rtol=1e-4, atol=1e-5
                )
