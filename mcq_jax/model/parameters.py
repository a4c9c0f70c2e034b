"""`Parameters`: the weights as a pytree, their expected shapes, random ones."""

import functools
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mcq_jax.arguments import as_integer, as_integers, check_key
from mcq_jax.model import transformer
from mcq_jax.model.config import ModelConfig, check_config
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.positions import places_of

# Two levels, as Haiku has them: {"attention": {"query": array, …}, …}.
Group = MutableMapping[str, MutableMapping[str, Array]]


class Parameters(NamedTuple):
    """The weights of a model.

    `layers` is a tuple of segments: groups of structurally equal layers whose arrays
    are stacked `[n, …]`. A segment of one layer is run by a host loop, a longer one
    by a scan. Every array stands here once: where a model is tied (`ModelConfig.tied`),
    `unembed` has no table, and what is to unembed is given `unembedding`.
    """

    embed: Group
    layers: tuple[Group, ...]
    unembed: Group

    @property
    def unembedding(self) -> Group:
        """What the unembedding reads: its own weights, and the embedding's if tied."""
        own, tables = self.unembed.get("~", {}), self.embed["~"]
        return {"~": {"table": tables["table"], **own}}

    def of_layer(self, layer: int) -> "Parameters":
        """The same with one layer only, cut out of its segment."""
        layer, start = as_integer(layer, "a layer"), 0
        for group in self.layers:
            size = jax.tree.leaves(group)[0].shape[0]
            if 0 <= layer < start + size:
                break
            start += size
        else:
            raise ValueError(f"layer {layer} of {start} layers; give one of those.")
        index = layer - start
        one = jax.tree.map(lambda a: a[index : index + 1], group)
        return self._replace(layers=(one,))


def segment_sizes(config: ModelConfig) -> tuple[int, ...]:
    """Returns the good default for this platform: one by one on CPU, else all.

    A scan on CPU copies each layer's weights out of the stack; on accelerators it
    saves compile time and keeps shards together.
    """
    check_config(config)
    if jax.default_backend() == "cpu":
        return (1,) * config.layers
    return (config.layers,)


def stack_layers(layers: Sequence[Group], sizes: Sequence[int]) -> tuple[Group, ...]:
    """Returns single layers (no layer axis) as segments of the given sizes."""
    sizes = as_integers(sizes, "sizes")
    if sum(sizes) != len(layers) or min(sizes) < 1:
        raise ValueError(
            f"segments of {tuple(sizes)} layers for {len(layers)} layers; the sizes "
            "must add up to the number of layers."
        )
    segments, start = [], 0
    for size in sizes:
        group = layers[start : start + size]
        segments.append(jax.tree.map(lambda *w: jnp.stack(w), *group))
        start += size
    return tuple(segments)


def parameter_shapes(config: ModelConfig) -> Parameters:
    """Returns the shapes that a model needs, with one unstacked layer in `layers`.

    Traced once per config, and shared: treat it as read-only.
    """
    check_config(config)
    return _shapes(config)


@functools.lru_cache
def _shapes(config: ModelConfig) -> Parameters:
    return jax.eval_shape(lambda key: _initialise(config, key, 1), jax.random.key(0))


def initialise(
    config: ModelConfig, key: Array, *, sizes: Sequence[int] | None = None
) -> Parameters:
    """Returns random weights (for tests and shape studies, not for training)."""
    check_config(config)
    check_key(key)
    draw = jax.jit(_initialise, static_argnums=(0, 2))
    parameters = draw(config, key, config.layers)
    sizes = segment_sizes(config) if sizes is None else sizes
    return parameters._replace(layers=stack_layers(parameters.layers, sizes))


def _initialise(config: ModelConfig, key: Array, layers: int) -> Parameters:
    tokens, positions = jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32)
    x = jnp.zeros((1, config.width))
    constants = jax.tree.map(lambda c: jnp.asarray(c[0]), layer_constants(config))
    embed_key, unembed_key, *keys = jax.random.split(key, layers + 2)
    inputs = (x, (), places_of(positions, config), constants, (), (), config)
    unembed = transformer.unembed.init(unembed_key, x, (), (), config)
    return Parameters(
        embed=transformer.embed.init(embed_key, tokens, positions, (), (), config),
        layers=tuple(transformer.layer.init(k, *inputs) for k in keys),
        unembed=_without_table(unembed) if config.tied else unembed,
    )


def _without_table(group: Group) -> Group:
    own = {name: array for name, array in group["~"].items() if name != "table"}
    return {"~": own} if own else {}
