"""`next_token_loss`: how badly a model predicts each token from those before it.

The model is the one that everything else here runs: `model.run` embeds, runs layers
and unembeds. Where a vocabulary is large, logits of a part of it at a time are enough:
the logarithm of the sum of their exponentials is carried from part to part.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, Int

from mcq_jax.axes import AnyArray
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.model.inputs import check_model
from mcq_jax.model.run import run_embed, run_layers, run_unembed
from mcq_jax.parameter_table import Kind, parameter
from mcq_jax.training.stream import Batch

Losses = Float[Array, "row time"]
# Of the tokens that are predicted: all but each row's first.
_Predicted = Float[Array, "row predicted"]


def next_token_loss(
    parameters: Parameters,
    batch: Batch,
    *,
    config: ModelConfig,
    vocabulary_chunk: int | None = None,
    rematerialise: bool = False,
) -> Float[Array, ""]:
    """Returns the mean cross-entropy in nats, by the weights of the batch.

    Args:
        parameters: in float32; `as_computed` gives those for another precision.
        batch: `[row, time]`.
        config: of the model.
        vocabulary_chunk: logits of so many tokens at a time; None: of all at once.
        rematerialise: whether the gradient keeps only what enters each layer and each
            chunk, and computes the rest a second time.
    """
    losses = token_losses(
        parameters,
        batch.ids,
        config=config,
        vocabulary_chunk=vocabulary_chunk,
        rematerialise=rematerialise,
    )
    weights = jnp.asarray(batch.weights)[:, 1:]
    return (weights * losses[:, 1:]).sum() / weights.sum()


def token_losses(
    parameters: Parameters,
    ids: Int[AnyArray, "row time"],
    *,
    config: ModelConfig,
    vocabulary_chunk: int | None = None,
    rematerialise: bool = False,
) -> Losses:
    """Returns each token's loss in nats; 0 for a row's first. For the arguments see
    `next_token_loss`."""
    check_model(parameters, config)
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    x, _ = run_embed(parameters.embed, ids, positions, config=config)
    x = run_layers(
        parameters, x, positions, config=config, rematerialise=rematerialise
    ).residual
    # The last position predicts a token that is not there.
    inputs = (parameters, x[:, :-1], jnp.asarray(ids)[:, 1:], config)
    if vocabulary_chunk is None or vocabulary_chunk >= config.vocabulary:
        losses = _from_all_logits(*inputs)
    else:
        losses = _from_chunks(*inputs, vocabulary_chunk)
    return jnp.pad(losses, ((0, 0), (1, 0)))


def as_computed(parameters: Parameters, dtype: DTypeLike) -> Parameters:
    """Returns float32 weights as a forward pass of another precision takes them.

    Gains stay in float32, as in a checkpoint that is loaded so. Gradients through this
    are those of the float32 weights.
    """

    def cast(path, weight):
        is_gain = parameter(path[-1].key).kind is Kind.GAIN
        return weight if is_gain else weight.astype(dtype)

    return jax.tree_util.tree_map_with_path(cast, parameters)


def _from_all_logits(parameters, x, targets, config: ModelConfig) -> _Predicted:
    logits, _ = run_unembed(parameters.unembedding, x, config=config)
    total = jax.nn.logsumexp(logits, axis=-1)
    return total - _of(targets, logits, jnp.arange(config.vocabulary))


def _of(targets, logits, ids) -> _Predicted:
    """The targets' logits, 0 where they are not among `ids`.

    As a sum and not a gather, whose gradient would be a scatter.
    """
    is_target = targets[..., None] == ids[None, None]
    return jnp.where(is_target, logits, 0).sum(-1)


def _from_chunks(parameters, x, targets, config: ModelConfig, size: int) -> _Predicted:
    """The same, of logits `[row, predicted, size]` at a time.

    Chunk c has tokens c, c + chunks, c + 2 chunks, …: where a mesh splits the table,
    each device then has its part of every chunk.
    """
    group = parameters.unembedding["~"]
    chunks = -(-config.vocabulary // size)
    missing = chunks * size - config.vocabulary
    table = jnp.pad(group["table"], ((0, missing), (0, 0)))
    tables = jnp.moveaxis(table.reshape(size, chunks, -1), 1, 0)
    of_chunk = dataclasses.replace(config, vocabulary=size)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def add(carry, chunk):
        largest, total, found = carry
        table, ids = chunk
        own = {"~": {**group, "table": table}}
        logits, _ = run_unembed(own, x, config=of_chunk)
        logits = jnp.where(ids[None, None] < config.vocabulary, logits, -jnp.inf)
        # The largest only keeps exponentials in range: it has no gradient.
        larger = jax.lax.stop_gradient(jnp.maximum(largest, logits.max(-1)))
        total = total * jnp.exp(largest - larger)
        total = total + jnp.exp(logits - larger[..., None]).sum(-1)
        return (larger, total, found + _of(targets, logits, ids)), None

    ids = jnp.arange(chunks)[:, None] + chunks * jnp.arange(size)[None]
    zeros = jnp.zeros(targets.shape)
    start = (jnp.full(targets.shape, -jnp.inf), zeros, zeros)
    (largest, total, found), _ = jax.lax.scan(add, start, (tables, ids))
    return largest + jnp.log(total) - found
