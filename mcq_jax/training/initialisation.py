"""`initialise`: weights to train from, by what each parameter is."""

import math
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mcq_jax.arguments import check_key
from mcq_jax.model import Parameters, parameter_shapes, segment_sizes, stack_layers
from mcq_jax.model.config import ModelConfig, check_config
from mcq_jax.parameter_table import Kind, parameter

# Logits of an untrained model have about this standard deviation: its loss is within
# an eighth of the logarithm of the vocabulary.
_LOGITS = 0.5


def initialise(
    config: ModelConfig,
    key: Array,
    *,
    sizes: Sequence[int] | None = None,
    feedforward: float = 1.0,
) -> Parameters:
    """Returns random weights to train from, in float32.

    Matrices that read the residual stream have a variance of 1 / width. Those that
    write to it have one of 1 / (what they sum over × 2 × layers), since the stream is
    a sum of two writes per layer (Radford et al. 2019, "Language Models are
    Unsupervised Multitask Learners"). Tables have a standard deviation of
    0.5 / √width. Gains are 1 and biases 0. A parameter's numbers depend on the key,
    its name and its layer, and on nothing else.

    Args:
        config: of any model that `forward` runs.
        key: of `jax.random`.
        sizes: layers per segment; what suits the platform, if left out.
        feedforward: what the output matrices of feed-forward blocks are multiplied by.
            Small ones leave the stream to tokens and heads at first, which compare
            tokens sooner then (docs/training.md).
    """
    check_config(config)
    check_key(key)
    shapes = parameter_shapes(config)

    def part(tree, place: int):
        own = jax.random.fold_in(key, place)
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: _draw(path, leaf.shape, own, config), tree
        )

    def layer(place: int):
        drawn = part(shapes.layers[0], 2 + place)
        block = drawn["feedforward"]
        down = block["down"] * feedforward
        return {**drawn, "feedforward": {**block, "down": down}}

    layers = [layer(place) for place in range(config.layers)]
    return Parameters(
        embed=part(shapes.embed, 0),
        layers=stack_layers(layers, segment_sizes(config) if sizes is None else sizes),
        unembed=part(shapes.unembed, 1),
    )


def _draw(
    path: Sequence, shape: tuple[int, ...], key: Array, config: ModelConfig
) -> Float[Array, "..."]:
    name, kind = path[-1].key, parameter(path[-1].key).kind
    if kind is Kind.GAIN:
        return jnp.ones(shape)
    if kind is Kind.BIAS:
        return jnp.zeros(shape)
    if kind is Kind.TABLE:
        deviation = _LOGITS / math.sqrt(config.width)
    elif kind is Kind.READING:
        deviation = 1 / math.sqrt(config.width)
    else:
        deviation = 1 / math.sqrt(math.prod(shape[:-1]) * 2 * config.layers)
    own = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return deviation * jax.random.normal(own, shape)
