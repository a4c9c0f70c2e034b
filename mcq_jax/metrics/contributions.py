"""How much each node writes to each answer logit of one prompt, read off directly.

With the final norm's scale held at its clean value the logits (before any cap) are
linear in the residual stream, and the residual stream is a sum: every head's output,
every feed-forward block's output, the embedding and the biases. So the parts must add
up to the logits, which `conservation_error` checks.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What adds up to one prompt's answer logits."""

    nodes: Float[Array, "layer node choice"]  # heads first, then the feed-forward block
    rest: Float[Array, " choice"]  # the embedding and the biases


def answer_directions(
    answer_vectors: Float[Array, "choice width"],
    norm_gain: Float[Array, " width"],
    norm_scale: Float[Array, ""],
    *,
    subtracts_mean: bool = False,
) -> Float[Array, "choice width"]:
    """Returns the direction in the residual stream that raises each answer's logit.

    Args:
      answer_vectors: the unembedding vectors of the answer tokens.
      norm_gain: the final norm's gain; ones for a model without norm.
      norm_scale: what the final norm divides by on the clean prompt; 1 without norm.
      subtracts_mean: whether it first takes away the residual stream's mean (layer
        norm). The mean is linear, so that every write loses its own.
    """
    gain = norm_gain.astype(jnp.float32) / norm_scale.astype(jnp.float32)
    directions = answer_vectors.astype(jnp.float32) * gain[None, :]
    if subtracts_mean:
        directions = directions - directions.mean(-1, keepdims=True)
    return directions


def node_contributions(
    head_outputs: Float[Array, "layer kv_head group head_width"],
    feedforward_outputs: Float[Array, "layer width"],
    embedding: Float[Array, " width"],
    *,
    output_weights: Float[Array, "layer kv_head group head_width width"],
    biases: Float[Array, "bias width"],
    directions: Float[Array, "choice width"],
) -> Contributions:
    """Returns every node's contribution to each answer logit, and the rest.

    Args:
      head_outputs: at the answer position, before the output projection.
      feedforward_outputs: at the answer position, as added to the residual stream.
      biases: what layers add besides their nodes, in any number of rows: the attention
        output biases always, a feed-forward bias only if the block's output lacks it.
      directions: from `answer_directions`.
    """
    directions = directions.astype(jnp.float32)
    layers, kv_heads, groups, _ = head_outputs.shape
    heads = jnp.einsum(
        "lkgd,lkgdw,cw->lkgc",
        head_outputs.astype(jnp.float32),
        output_weights.astype(jnp.float32),
        directions,
        precision=Precision.HIGHEST,
    ).reshape(layers, kv_heads * groups, -1)
    mlp = _read(feedforward_outputs, directions)
    rest = _read(embedding[None, :], directions)[0] + _read(biases, directions).sum(0)
    return Contributions(
        nodes=jnp.concatenate([heads, mlp[:, None, :]], axis=1), rest=rest
    )


def conservation_error(
    parts: Contributions, answer_logits: Float[Array, " choice"]
) -> Float[Array, ""]:
    """Returns the largest gap between the summed contributions and the logits."""
    total = parts.nodes.sum(axis=(0, 1)) + parts.rest
    return jnp.abs(total - answer_logits.astype(jnp.float32)).max()


def _read(
    writes: Float[Array, "write width"], directions: Float[Array, "choice width"]
) -> Float[Array, "write choice"]:
    return jnp.einsum(
        "nw,cw->nc",
        writes.astype(jnp.float32),
        directions,
        precision=Precision.HIGHEST,
    )
