"""Where the heads of one prompt look from the answer position, weighted by value.

Attention alone overstates keys whose value is nearly zero (the first token, above
all), so each key counts as attention times the length of what it writes,
||W_O v_j||. Classes of keys come in as integers; their names belong to `prompts`.
"""

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Int


def value_output_norms(
    values: Float[Array, "key kv_head head_width"],
    output_weights: Float[Array, "kv_head group head_width width"],
) -> Float[Array, "kv_head group key"]:
    """Returns ||W_O v_j|| of every query head and key."""
    weights = output_weights.astype(jnp.float32)
    values = values.astype(jnp.float32)
    # The Gram matrix of W_O does not depend on the prompt: under vmap it is made once,
    # and no [key, width] output per head ever exists.
    gram = jnp.einsum("kgdw,kgew->kgde", weights, weights, precision=Precision.HIGHEST)
    squares = jnp.einsum(
        "jkd,kgde,jke->kgj", values, gram, values, precision=Precision.HIGHEST
    )
    return jnp.sqrt(jnp.maximum(squares, 0.0))


def value_weighted_attention(
    pattern: Float[Array, "kv_head group key"],
    value_norms: Float[Array, "kv_head group key"],
) -> Float[Array, "kv_head group key"]:
    """Returns each key's share of a_j ||W_O v_j||; a head that writes nothing has 0s.

    Args:
      pattern: the attention row of the answer position; 0 on padding.
    """
    weights = pattern.astype(jnp.float32) * value_norms.astype(jnp.float32)
    total = weights.sum(axis=-1, keepdims=True)
    return jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), 0.0)


def share_on_labels(
    shares: Float[Array, "kv_head group key"], label_positions: Int[Array, " choice"]
) -> Float[Array, "kv_head group choice"]:
    """Returns each head's share on each option's label token."""
    return jnp.take(shares, label_positions, axis=-1)


def share_by_class(
    shares: Float[Array, "kv_head group key"],
    key_class: Int[Array, " key"],
    *,
    classes: int,
) -> Float[Array, "kv_head group key_class"]:
    """Returns each head's share on each class of keys; codes outside [0, classes) drop.

    Args:
      classes: how many classes there are; it fixes the shape, the codes may be traced.
    """
    members = jax.nn.one_hot(key_class, classes, dtype=jnp.float32)
    return jnp.einsum("kgj,jc->kgc", shares, members, precision=Precision.HIGHEST)


def share_by_option(
    shares: Float[Array, "kv_head group key"],
    key_option: Int[Array, " key"],
    is_counted: Bool[Array, " key"],
    *,
    choices: int,
) -> Float[Array, "kv_head group choice"]:
    """Returns each head's share on the keys of each option (its content, for example).

    Args:
      key_option: the option a key belongs to, -1 for none.
      is_counted: which keys count, such as option text and line ends without labels.
    """
    option = jnp.where(is_counted, key_option, -1)
    return share_by_class(shares, option, classes=choices)
