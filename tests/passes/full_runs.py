"""The oracle of the sweeps: a plain full forward with the same patches."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mcq_jax.interventions import Site, patch
from mcq_jax.model import ModelConfig, Output, Parameters, forward
from mcq_jax.passes import Held
from tests import tiny

# Prompts of different length in one padded batch; the padding is not zeros.
LENGTHS = (7, 4, 6)
SOURCES = 2


def prompts(config: ModelConfig, *, seed: int = 0) -> tuple[Array, Array]:
    """Right-padded tokens and their lengths."""
    tokens = tiny.random_tokens(config, len(LENGTHS), max(LENGTHS) + 1, seed=seed)
    return tokens, jnp.array(LENGTHS, jnp.int32)


def random_sources(config: ModelConfig, *, seed: int = 0) -> Held:
    """`[layer, prompt, source, 1, …]`, of the size that nodes write."""
    generator = np.random.default_rng(seed)
    leading = (config.layers, len(LENGTHS), SOURCES, 1)
    heads = (config.kv_heads, config.group, config.head_width)
    sizes = {Site.Z: heads, Site.MLP_OUT: (config.width,)}
    return {
        site: jnp.asarray(generator.normal(size=(*leading, *size)), jnp.float32)
        for site, size in sizes.items()
    }


def patched_run(
    parameters: Parameters,
    config: ModelConfig,
    sources: Held,
    source: int,
    mask: np.ndarray,
    capture=(),
) -> Output:
    """All prompts with the nodes of `mask` [layer, node] patched at their ends."""
    tokens, lengths = prompts(config)
    at = functools.partial(
        patch, layers=range(config.layers), positions=(lengths - 1)[:, None]
    )
    layers = config.layers
    heads = mask[:, :-1].reshape(layers, 1, 1, config.kv_heads, config.group, 1)
    edits = [
        at(Site.Z, sources[Site.Z][:, :, source], weight=heads),
        at(
            Site.MLP_OUT,
            sources[Site.MLP_OUT][:, :, source],
            weight=mask[:, -1].reshape(layers, 1, 1, 1),
        ),
    ]
    return forward(parameters, tokens, edits, config=config, capture=capture)


def at_the_end(by_position: Array) -> Array:
    """`[prompt, position, …]` at every prompt's last token."""
    return by_position[jnp.arange(len(LENGTHS)), jnp.array(LENGTHS) - 1]
