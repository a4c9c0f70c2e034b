"""Normalisation, with its scale as a site of its own."""

import haiku as hk
import jax
import jax.numpy as jnp

from mcq_jax import axes
from mcq_jax.interventions import Site, Tap
from mcq_jax.model.config import ModelConfig, Norm


def norm(
    name: str, x: axes.Residual, config: ModelConfig, tap: Tap, scale_site: Site
) -> axes.Residual:
    """Returns the normalised residual, computed in float32.

    The scale is 1 / sqrt(mean(x ** 2) + epsilon), or 1 without a norm; freezing it
    by an edit is what makes the rest of the model linear in x.
    """
    wide = x.astype(jnp.float32)
    if config.norm is Norm.NONE:
        scale = tap(scale_site, jnp.ones((x.shape[0], 1), jnp.float32))
        return (wide * scale).astype(x.dtype)
    gain = hk.get_parameter(f"{name}_gain", (config.width,), x.dtype, init=jnp.ones)
    mean_square = jnp.mean(wide * wide, -1, keepdims=True)
    scale = tap(scale_site, jax.lax.rsqrt(mean_square + config.norm_epsilon))
    return (wide * scale).astype(x.dtype) * gain[None]
