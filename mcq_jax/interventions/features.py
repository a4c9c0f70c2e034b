"""Edits of learned features: one direction of a dictionary (sparse autoencoder).

x becomes x + (target - f(x)) d, where f is the feature's activation and d its decoder
direction: the feature changes, and everything else, the dictionary's reconstruction
error included, stays as it is.
"""

import dataclasses
from typing import Unpack

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from mcq_jax.interventions.edits import Edit, Where, apply
from mcq_jax.interventions.projections import check_directions
from mcq_jax.interventions.selection import Indices
from mcq_jax.interventions.sites import Site


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Features of a site: f = act((x - decoder_bias) @ encoder + encoder_bias).

    act keeps what is above the threshold: 0 is a ReLU, others a JumpReLU.
    """

    encoder: Float[Array, "width feature"]
    decoder: Float[Array, "feature width"]
    encoder_bias: Float[Array, " feature"]
    # Also taken off x before encoding; 0 for dictionaries that do not.
    decoder_bias: Float[Array, " width"]
    threshold: Float[Array, " feature"]

    def activations(
        self, x: Float[Array, "*position width"]
    ) -> Float[Array, "*position feature"]:
        arguments = (self.encoder, self.encoder_bias, self.decoder_bias, self.threshold)
        return feature_activations(x, *arguments)


def set_features(
    site: Site | str,
    dictionary: Dictionary,
    features: Indices,
    target: ArrayLike,
    **where: Unpack[Where],
) -> Edit:
    """Returns the edit that gives features `[selected]` the activation `target`."""
    check_directions(site)
    arguments = _of(dictionary, features)
    target = jnp.broadcast_to(jnp.asarray(target, float), arguments[1].shape)
    return apply(site, with_features_set, *arguments, target, **where)


def scale_features(
    site: Site | str,
    dictionary: Dictionary,
    features: Indices,
    factor: ArrayLike,
    **where: Unpack[Where],
) -> Edit:
    """Returns the edit that multiplies features `[selected]` by `factor`."""
    check_directions(site)
    arguments = _of(dictionary, features)
    factor = jnp.broadcast_to(jnp.asarray(factor, float), arguments[1].shape)
    return apply(site, with_features_scaled, *arguments, factor, **where)


def feature_activations(
    x: Array, encoder: Array, encoder_bias: Array, decoder_bias: Array, threshold: Array
) -> Array:
    """Returns `[…, feature]` in float32."""
    ahead = tuple(range(x.ndim - 1))
    away = x.astype(jnp.float32) - jnp.expand_dims(decoder_bias, ahead)
    before = away @ encoder + jnp.expand_dims(encoder_bias, ahead)
    return jnp.where(before > jnp.expand_dims(threshold, ahead), before, 0)


def with_features_set(x: Array, *arguments: Array) -> Array:
    *encoding, decoder, target = arguments
    found = feature_activations(x, *encoding)
    change = jnp.expand_dims(target, tuple(range(x.ndim - 1))) - found
    return x.astype(jnp.float32) + change @ decoder


def with_features_scaled(x: Array, *arguments: Array) -> Array:
    *encoding, decoder, factor = arguments
    found = feature_activations(x, *encoding)
    change = (jnp.expand_dims(factor, tuple(range(x.ndim - 1))) - 1) * found
    return x.astype(jnp.float32) + change @ decoder


def _of(dictionary: Dictionary, features: Indices) -> tuple[Array, ...]:
    """The chosen features' share of the dictionary; only these are computed."""
    chosen = jnp.atleast_1d(jnp.asarray(features))
    count = dictionary.decoder.shape[0]
    is_known = not isinstance(chosen, jax.core.Tracer)
    if is_known and not (chosen.size and 0 <= chosen.min() and chosen.max() < count):
        raise ValueError(
            f"features {chosen.tolist()} of a dictionary with {count}; name at least "
            f"one, from 0 to {count - 1}."
        )
    return (
        dictionary.encoder[:, chosen],
        dictionary.encoder_bias[chosen],
        dictionary.decoder_bias,
        dictionary.threshold[chosen],
        dictionary.decoder[chosen],
    )
