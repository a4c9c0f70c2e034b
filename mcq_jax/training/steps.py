"""Steps of training as one program: gradients by slices of rows, then the update."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax.training import optimiser
from mcq_jax.training.config import TrainingConfig
from mcq_jax.training.losses import as_computed, token_losses
from mcq_jax.training.optimiser import Rates, TrainingState
from mcq_jax.training.placement import Placement
from mcq_jax.training.stream import Batch

# On CPUs a slice's widest activations are to stay in the cache of a core: twice as
# many rows took 1.5 times as long each. But weights are read once for every slice.
_CACHE_BYTES, _FEWEST_TOKENS = 2**20, 256


def rows_at_once(
    config: TrainingConfig, rows: int, time: int, *, parts: int = 1
) -> int:
    """Returns how many rows of a batch a gradient is computed for at once.

    Args:
        config: of the training.
        rows: of a batch.
        time: tokens of a row.
        parts: over how many devices rows are split.
    """
    if config.rows_at_once is not None:
        if rows % config.rows_at_once:
            raise ValueError(
                f"rows_at_once is {config.rows_at_once}, which does not divide a batch "
                f"of {rows} rows; give one that does."
            )
        return config.rows_at_once
    if jax.default_backend() != "cpu":
        return rows
    model = config.model
    widest = max(model.neurons, model.vocabulary, model.heads * time, model.width)
    fitting = max(_CACHE_BYTES // (4 * widest * time), -(-_FEWEST_TOKENS // time))
    each = -(-rows // parts)
    fitting = next(n for n in range(min(each, fitting), 0, -1) if each % n == 0)
    return fitting * parts if rows % parts == 0 else rows


def stacked(batches: Sequence[Sequence[Batch]], at_once: int, steps: int) -> Batch:
    """Returns batches `[step][model]` as one, `[step, model, slice, row, time]`.

    Weights are divided by their sum over a model's batch, so that losses of slices add
    up to the batch's mean. What is missing to `steps` is filled up with copies.
    """
    batches = [*batches, *[batches[-1]] * (steps - len(batches))]
    ids = np.array([[batch.ids for batch in each] for each in batches], np.int32)
    weights = np.array([[batch.weights for batch in each] for each in batches])
    total = weights[..., 1:].astype(np.float64).sum((-2, -1), keepdims=True)
    weights = (weights / total).astype(np.float32)
    *outer, rows, time = ids.shape
    shape = (*outer, rows // at_once, at_once, time)
    return Batch(ids.reshape(shape), weights.reshape(shape))


def compiled_steps(config: TrainingConfig, where: Placement) -> Any:
    """Returns a program that runs some steps of all models.

    It is called with the state `[model, …]`, which it uses up; batches as `stacked`
    makes them; the first step's number; how many of the steps to run; and the rates.
    It returns the state, and the mean loss `[step, model]` of each batch before its
    step, 0 for steps that were not run.
    """
    over_models = _one_by_one if where.one_by_one else _together

    def run(
        state: TrainingState,
        batches: Batch,
        first: Int[Array, ""],
        count: Int[Array, ""],
        rates: Rates,
    ) -> tuple[TrainingState, Float[Array, "step model"]]:
        def one(index, carry):
            state, losses = carry
            batch = jax.tree.map(lambda a: a[index], batches)
            step = functools.partial(_step, step=first + index, config=config)
            state, loss = over_models(step, state, batch, rates)
            return state, losses.at[index].set(loss)

        losses = jnp.zeros(batches.ids.shape[:2])
        return jax.lax.fori_loop(0, count, one, (state, losses))

    return where.compiled(run)


def _one_by_one(run, *inputs):
    if jax.tree.leaves(inputs)[0].shape[0] == 1:
        out = run(*jax.tree.map(lambda a: a[0], inputs))
        return jax.tree.map(lambda a: a[None], out)
    return jax.lax.map(lambda each: run(*each), inputs)


def _together(run, *inputs):
    return jax.vmap(run)(*inputs)


def _step(
    state: TrainingState,
    batch: Batch,
    rates: Rates,
    *,
    step: Int[Array, ""],
    config: TrainingConfig,
) -> tuple[TrainingState, Float[Array, ""]]:
    """One step of one model; its batch is `[slice, row, time]`."""
    grade = jax.value_and_grad(functools.partial(_share, config=config))

    def add(total, part):
        return jax.tree.map(jnp.add, total, grade(state.parameters, part)), None

    if len(batch.ids) == 1:
        loss, gradients = grade(state.parameters, jax.tree.map(lambda a: a[0], batch))
    else:
        nothing = jax.tree.map(jnp.zeros_like, (jnp.float32(0), state.parameters))
        (loss, gradients), _ = jax.lax.scan(add, nothing, batch)
    return optimiser.update(state, gradients, step, rates, config), loss


def _share(parameters, part: Batch, config: TrainingConfig) -> Float[Array, ""]:
    """What a slice's rows add to the loss of their batch."""
    losses = token_losses(
        as_computed(parameters, config.precision),
        part.ids,
        config=config.model,
        vocabulary_chunk=config.vocabulary_chunk,
        rematerialise=config.rematerialise,
    )
    return (losses * part.weights).sum()
