"""Normalisation, with its scale as a site of its own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mcq_jax import axes
from mcq_jax.interventions import Site, Tap
from mcq_jax.model.arithmetic import rounded
from mcq_jax.model.config import ModelConfig, Norm, QueryKeyNorm
from mcq_jax.model.weights import bias, gain


def norm(
    kind: Norm,
    x: axes.Residual,
    config: ModelConfig,
    tap: Tap,
    scale_site: Site,
    name: str = "norm",
) -> axes.Residual:
    """Returns the normalised residual, computed in float32.

    The scale is 1 / sqrt(mean(x ** 2) + epsilon), of x less its mean for `LAYER`, or 1
    without a norm. Freezing it by an edit makes the norm linear in x: the mean is.
    """
    wide = x.astype(jnp.float32)
    if kind is Norm.NONE:
        scale = tap(scale_site, jnp.ones((x.shape[0], 1), jnp.float32))
        return (wide * scale).astype(x.dtype)
    if kind is Norm.LAYER:
        wide = wide - wide.mean(-1, keepdims=True)
    scale = tap(scale_site, _inverse_size(wide, config))
    factor = gain(f"{name}_gain", (config.width,), x.dtype)
    normed = wide * scale * factor[None].astype(jnp.float32)
    if kind is Norm.LAYER:
        offset = bias(f"{name}_bias", (config.width,), x.dtype)
        normed = normed + offset[None].astype(jnp.float32)
    return normed.astype(x.dtype)


def norm_before(
    x: axes.Residual, config: ModelConfig, tap: Tap, scale_site: Site
) -> axes.Residual:
    """Returns what one half of a layer reads."""
    kind = config.norm if config.pre_norm else Norm.NONE
    return norm(kind, x, config, tap, scale_site)


def norm_behind(
    out: axes.Residual, config: ModelConfig, tap: Tap, scale_site: Site
) -> axes.Residual:
    """Returns what one half of a layer adds to the residual."""
    if not config.post_norm:
        return out
    return rounded(norm(config.norm, out, config, tap, scale_site, "post_norm"))


def norm_heads(
    name: str, x: Array, config: ModelConfig, tap: Tap, scale_site: Site
) -> Array:
    """Returns queries or keys `[position, *heads, head_width]`, normed if they are.

    The scale is each head's own, although heads normed together share its value.
    """
    if config.query_key_norm is QueryKeyNorm.NONE:
        return x
    wide = x.astype(jnp.float32)
    if config.query_key_norm is QueryKeyNorm.HEAD:
        together, shape = (-1,), x.shape[-1:]
    else:
        together, shape = tuple(range(1, x.ndim)), x.shape[1:]
    scale = _inverse_size(wide, config, together)
    scale = tap(scale_site, jnp.broadcast_to(scale, (*x.shape[:-1], 1)))
    factor = gain(f"{name}_norm_gain", shape, x.dtype)
    factor = factor.reshape((1,) * (x.ndim - factor.ndim) + factor.shape)
    return (wide * scale * factor.astype(jnp.float32)).astype(x.dtype)


def _inverse_size(x: Array, config: ModelConfig, axis: tuple[int, ...] = (-1,)):
    mean_square = jnp.mean(x * x, axis, keepdims=True)
    return jax.lax.rsqrt(mean_square + config.norm_epsilon)
