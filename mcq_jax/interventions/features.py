"""Edits of learned features: one direction of a dictionary (sparse autoencoder).

x becomes x + (target - f(x)) d, where f is the feature's activation and d its decoder
direction: the feature changes, and everything else, the dictionary's reconstruction
error included, stays as it is.
"""

import dataclasses
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from mcq_jax.arguments import as_array, check_kind
from mcq_jax.interventions import selection
from mcq_jax.interventions.edits import Edit, Where, apply, is_concrete
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
        _check_shapes(self)
        x, width = as_array(x, "an activation"), len(self.decoder_bias)
        if not x.ndim or x.shape[-1] != width:
            raise ValueError(
                f"an activation has shape {x.shape}, and the dictionary reads a width "
                f"of {width}; give [position, width]."
            )
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
    target = _by_feature(target, arguments[1].shape, "target")
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
    factor = _by_feature(factor, arguments[1].shape, "factor")
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
    check_kind(dictionary, Dictionary, "a dictionary", "give a `Dictionary`")
    _check_shapes(dictionary)
    chosen = selection.indices("features", features, 1)
    count = dictionary.decoder.shape[0]
    if is_concrete(chosen) and not (0 <= chosen.min() and chosen.max() < count):
        raise ValueError(
            f"features {chosen.tolist()} of a dictionary with {count}; name some of 0 "
            f"to {count - 1}."
        )
    return (
        dictionary.encoder[:, chosen],
        dictionary.encoder_bias[chosen],
        dictionary.decoder_bias,
        dictionary.threshold[chosen],
        dictionary.decoder[chosen],
    )


def _check_shapes(dictionary: Dictionary) -> None:
    """Raises ValueError for matrices that belong together no more than a transpose."""
    for name in ("decoder", "encoder", "encoder_bias", "decoder_bias", "threshold"):
        what = f"{name} of a dictionary"
        check_kind(
            getattr(dictionary, name), (jax.Array, np.ndarray), what, "give an array"
        )
    if dictionary.decoder.ndim != 2:
        raise ValueError(
            f"decoder of a dictionary has shape {dictionary.decoder.shape}; give "
            "[feature, width]."
        )
    features, width = dictionary.decoder.shape
    expected = {
        "encoder": (width, features),
        "encoder_bias": (features,),
        "decoder_bias": (width,),
        "threshold": (features,),
    }
    for name, shape in expected.items():
        found = jnp.shape(getattr(dictionary, name))
        if found != shape:
            raise ValueError(
                f"{name} of a dictionary has shape {found} beside a decoder [feature, "
                f"width] of {(features, width)}; give {shape}."
            )


def _by_feature(given: ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    array = as_array(given, name).astype(float)
    if array.shape not in ((), (1,), shape):
        raise ValueError(
            f"{name} has shape {array.shape} for {shape[0]} features; give a number, "
            "or one for each."
        )
    return jnp.broadcast_to(array, shape)
