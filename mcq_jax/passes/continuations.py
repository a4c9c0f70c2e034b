"""`continuation_logprobs`: how likely a model finds what comes after a beginning."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import sharding
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.parameters import Parameters
from mcq_jax.passes.answers import check_finite, read_answers
from mcq_jax.passes.prefix_tree import levels_of
from mcq_jax.passes.tree_pass import run_tree


def continuation_logprobs(
    parameters: Parameters,
    tokens: Int[np.ndarray, "row position"],
    lengths: Int[np.ndarray, " row"],
    starts: Int[np.ndarray, " row"],
    *,
    config: ModelConfig,
    repeats: int = 1,
) -> Float[Array, " row"]:
    """Returns the summed log-probability, in nats, of each row's tokens from a start.

    What rows begin with in common is run once where that pays (`prefix_tree`).

    Args:
        tokens: right-padded.
        starts: where what is scored begins: 1 or later, and before the row's end.
        repeats: how often a pass like this will be run.
    """
    counts = np.asarray(lengths) - starts
    if len(tokens) == 0 or starts.min() < 1 or counts.min() < 1:
        raise ValueError(
            f"rows of {list(lengths)} tokens scored from {list(starts)} on; give at "
            "least one row, and starts of 1 or later and before each row's end."
        )
    most = int(counts.max())
    levels = levels_of(tokens, lengths, config, own=most + 1, repeats=repeats)
    run = run_tree(parameters, levels, config=config)
    offset = np.asarray(levels[-1].starts)
    # What is said at a position is read off one before it.
    at = np.minimum(starts[:, None] + np.arange(most), np.asarray(lengths)[:, None] - 1)
    logits, normaliser = read_answers(
        parameters.unembedding,
        _pick(run.layers.residual, jnp.asarray(at - 1 - offset[:, None])),
        jnp.asarray(np.take_along_axis(np.asarray(tokens), at, axis=1)),
        config=config,
    )
    assert normaliser is not None
    each = jnp.diagonal(logits, axis1=1, axis2=2) - normaliser  # [row, token]
    is_scored = jnp.asarray(np.arange(most) < counts[:, None])
    found = jnp.where(is_scored, each, 0).sum(axis=1)
    are_finite = sharding.on_every_host(jnp.isfinite(found))
    check_finite(parameters, tokens, lengths, are_finite, config)
    return found


@jax.jit
def _pick(
    x: Float[Array, "row position width"], positions: Int[Array, "row token"]
) -> Float[Array, "row token width"]:
    """Each row's residual at some positions, where the row lies."""
    return jax.vmap(lambda x, position: x[position])(x, positions)
