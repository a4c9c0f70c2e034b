"""Keys and values in several blocks: a shared prefix, then what follows it."""

import operator

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from mcq_jax.model import forward, layer_constants, transformer
from mcq_jax.model.positions import places_of
from mcq_jax.model.run import run_embed, run_layers, run_unembed
from tests import tiny

# Relative to the largest logit, in float32.
ROUNDING = 1e-5
PREFIX, REST, PADDING, ROWS = 4, 3, 2, 2


@pytest.mark.few
@tiny.every_case(0)
def test_a_shared_prefix_and_the_rest_equal_the_whole(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config)
    prefix = tiny.random_tokens(config, 1, PREFIX)
    rest = tiny.random_tokens(config, ROWS, REST, seed=1)
    whole = jnp.concatenate([jnp.repeat(prefix, ROWS, axis=0), rest], axis=1)
    expected = forward(parameters, whole, config=config).logits[:, PREFIX:]
    found = _after_prefix(parameters, config, prefix, rest)
    largest = float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * largest)


def test_a_layer_is_written_for_one_sequence_and_its_signature_says_so():
    config = next(iter(tiny.CASES.values()))
    group = tiny.random_parameters(config).embed
    rows = tiny.random_tokens(config, ROWS, REST)
    apply = transformer.embed.apply
    with pytest.raises(jaxtyping.TypeCheckError):
        apply(group, rows, rows, (), (), config)
    x, _ = apply(group, rows[0], rows[0], (), (), config)
    assert x.shape == (REST, config.width)


def _after_prefix(parameters, config, prefix, rest):
    """Logits of `rest`; its rows all read the one prefix, which is padded."""
    padding = jnp.zeros((1, PADDING), jnp.int32)
    padded = jnp.concatenate([prefix, padding], axis=1)
    positions = jnp.arange(PREFIX + PADDING)[None]
    x, _ = run_embed(parameters.embed, padded, positions, config=config)
    run = run_layers(parameters, x, positions, config=config, keep_blocks=True)

    @jax.jit
    def advance(x, group, past, constants):
        past = past._replace(length=PREFIX)
        places = places_of(PREFIX + jnp.arange(REST), config)

        def one_row(x):
            inputs = (x, (past,), places, constants, (), (), config)
            return transformer.layer.apply(group, *inputs)[0]

        return jax.vmap(one_row)(x)

    behind = jnp.broadcast_to(PREFIX + jnp.arange(REST), rest.shape)
    x, _ = run_embed(parameters.embed, rest, behind, config=config)
    constants = layer_constants(config)
    for layer, (group, past) in enumerate(
        zip(parameters.layers, run.blocks, strict=True)
    ):
        x = advance(
            x,
            jax.tree.map(lambda a: a[0], group),
            jax.tree.map(lambda a: a[0, 0], past),
            jax.tree.map(operator.itemgetter(layer), constants),
        )
    return run_unembed(parameters.unembedding, x, config=config)[0]
