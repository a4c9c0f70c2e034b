"""Placed parts become the parameters of an ordinary transformer."""

import types
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from mcq_jax.interventions import Node
from mcq_jax.model import (
    Activation,
    ModelConfig,
    Norm,
    Parameters,
    segment_sizes,
    stack_layers,
)
from mcq_jax.model.parameters import Group
from mcq_jax.planted import asking
from mcq_jax.planted.channels import WIDTH, Channels, random_basis
from mcq_jax.planted.parts import Part
from mcq_jax.planted.weights import Head, Neurons, block_weights, head_weights

HEAD_WIDTH = 24
NEURONS = 48
# BOS, ten lines of four tokens, the longest question and the cue fit in.
CONTEXT = 64


def model_config(*, layers: int, heads: int) -> ModelConfig:
    """Returns the seams that planted models use: no norm, no positions, plain ReLU."""
    return ModelConfig(
        layers=layers,
        width=WIDTH,
        kv_heads=heads,
        group=1,
        head_width=HEAD_WIDTH,
        neurons=NEURONS,
        vocabulary=len(asking.VOCABULARY),
        context=CONTEXT,
        norm=Norm.NONE,
        activation=Activation.RELU,
        gated=False,
        rotary_width=0,
    )


def assemble(
    parts: Mapping[Node, Part],
    channels: Channels,
    config: ModelConfig,
    generator: np.random.Generator | None,
    says: Mapping[str, np.ndarray] = types.MappingProxyType({}),
) -> Parameters:
    """Returns the weights; with a generator, heads are turned and neurons shuffled.

    Args:
        says: what some tokens' embeddings say that have nothing to say otherwise.
    """
    layers: list[Group] = [
        {
            "attention": _attention(parts, layer, config, generator),
            "feedforward": _feedforward(parts[Node(layer)], config, generator),
        }
        for layer in range(config.layers)
    ]
    return Parameters(
        embed={"~": {"table": _float32(_embedding(channels, says))}},
        layers=stack_layers(layers, segment_sizes(config)),
        unembed={"~": {"table": _float32(_unembedding(channels))}},
    )


def _attention(
    parts: Mapping[Node, Part],
    layer: int,
    config: ModelConfig,
    generator: np.random.Generator | None,
):
    heads = []
    for head in range(config.heads):
        weights = parts[Node(layer, head)].weights
        assert isinstance(weights, Head)
        heads.append(head_weights(weights, _turn(config.head_width, generator)))
    stacked = {name: np.stack([head[name] for head in heads]) for name in heads[0]}
    return {
        "query": _float32(stacked["query"][:, None]),  # kv_head, group, head_width, …
        "key": _float32(stacked["key"]),
        "value": _float32(stacked["value"]),
        "output": _float32(stacked["output"][:, None]),
    }


def _feedforward(
    part: Part, config: ModelConfig, generator: np.random.Generator | None
):
    assert isinstance(part.weights, Neurons)
    weights = block_weights(part.weights, config.neurons)
    order = np.arange(config.neurons)
    if generator is not None:
        order = generator.permutation(config.neurons)
    return {
        "up": _float32(weights["up"][order]),
        "down": _float32(weights["down"][order]),
    }


def _turn(size: int, generator: np.random.Generator | None) -> np.ndarray:
    return np.eye(size) if generator is None else random_basis(size, generator)


def _embedding(
    channels: Channels, also: Mapping[str, np.ndarray]
) -> np.ndarray:  # [vocabulary, width]
    says = {
        **also,
        asking.BOS: channels.bos[0],
        asking.CUE: channels.cue[0],
        **{
            word: channels.is_word[0] + channels.word[index]
            for index, word in enumerate(asking.OPTION_WORDS)
        },
        **{
            label: channels.label[0] + channels.letter[index]
            for index, label in enumerate(asking.LABELS)
        },
    }
    nothing = np.zeros(WIDTH)
    rows = [says.get(token, nothing) for token in asking.VOCABULARY]
    return np.stack(rows) + channels.constant


def _unembedding(channels: Channels) -> np.ndarray:  # [vocabulary, width]
    rows = np.zeros((len(asking.VOCABULARY), WIDTH))
    for index, label in enumerate(asking.LABELS):
        rows[asking.VOCABULARY.index(label)] = channels.out[index]
    return rows


def _float32(array: np.ndarray):
    return jnp.asarray(array, jnp.float32)
