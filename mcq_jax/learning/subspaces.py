"""`learn_subspace`: an orthonormal basis whose interchange moves answers as told.

Distributed alignment search (Geiger et al. 2023, arXiv 2303.02536). A learned subspace
says little by itself: with enough freedom it also learns targets for which no model has
a variable. Read it beside an arbitrary target of its own variable (`moved_by`).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from mcq_jax.learning.interchange import Pairs, Where, interchanged
from mcq_jax.model import ModelConfig, Parameters, work
from mcq_jax.sharding import Track

Basis = Float[np.ndarray, "slot *unit vector width"]


def learn_subspace(
    parameters: Parameters,
    batches: Sequence[Pairs],
    targets: Sequence[Int[np.ndarray, " row"]],
    where: Where,
    *,
    rank: int,
    config: ModelConfig,
    steps: int = 100,
    learning_rate: float = 0.03,
    seed: int = 0,
    starts: int = 1,
    track: Track = iter,
) -> tuple[Basis, Float[np.ndarray, " step"]]:
    """Returns the basis, and the loss at every step: cross-entropy over the answers.

    Steps are taken along orthonormal bases: each ends in a QR factorisation, and the
    slope is that of the loss of what the factorisation returns. One batch per step,
    in an order drawn anew for every round.

    Args:
        targets: by batch and row, which of the base's answers it should give; -1 where
            none is asked for. So of rows whose source has the base's own value: an
            interchange leaves them as they are, whatever is wanted.
        rank: vectors, for each head where queries are interchanged.
        starts: random bases to begin with, since some get stuck; what is returned is of
            the one that ends with the least loss over its last round of batches.
        track: wraps the steps of each start, for a bar.
    """
    width = where.width(config)
    if not 1 <= rank <= width:
        raise ValueError(
            f"a subspace of {rank} dimensions of {width}; ask for 1 to {width}."
        )
    if not len(batches) or len(batches) != len(targets):
        raise ValueError(
            f"{len(batches)} batches and targets for {len(targets)}; give each batch "
            "its targets, and at least one."
        )
    if starts < 1:
        raise ValueError(f"starts={starts}; learn from at least one.")
    tries = [
        _learn(
            parameters, batches, targets, where, rank=rank, config=config, steps=steps,
            learning_rate=learning_rate, seed=seed + start, track=track,
        )
        for start in range(starts)
    ]  # fmt: skip
    return min(tries, key=lambda found: found[1][-len(batches) :].mean())


def _learn(
    parameters, batches, targets, where, *, rank, config, steps, learning_rate, seed,
    track,
):  # fmt: skip
    random = np.random.default_rng(seed)
    shape = (*where.shape(config), rank, where.width(config))
    basis = orthonormal_rows(jnp.asarray(random.normal(size=shape), jnp.float32))
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    optimiser = optax.adam(schedule)
    state, losses, order = optimiser.init(basis), [], []

    def loss(raw: Array, number: int) -> Array:
        logits = interchanged(
            parameters, batches[number], orthonormal_rows(raw), where, config=config
        )
        wanted = np.asarray(targets[number])
        each = optax.softmax_cross_entropy_with_integer_labels(
            logits, jnp.asarray(np.maximum(wanted, 0))
        )
        share = (wanted >= 0) / max(1, (wanted >= 0).sum())
        return each @ jnp.asarray(share, jnp.float32)

    with_slope = jax.value_and_grad(loss)
    for _ in track(range(steps)):
        if not order:
            order = random.permutation(len(batches)).tolist()
        with work.with_slopes():
            value, slope = with_slope(basis, order.pop())
        with jax.numpy_dtype_promotion("standard"):  # optax counts in whole numbers
            change, state = optimiser.update(slope, state, basis)
        basis = orthonormal_rows(basis + jnp.asarray(change))
        losses.append(float(value))
    return np.asarray(basis), np.array(losses)


def orthonormal_rows(
    vectors: Float[Array, "*axes vector width"],
) -> Float[Array, "*axes vector width"]:
    """Returns orthonormal vectors of the same span, in the same sense.

    By QR: continuous, and differentiable where the vectors are independent.
    """
    q, r = jnp.linalg.qr(jnp.swapaxes(vectors, -1, -2))
    sign = jnp.where(jnp.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return jnp.swapaxes(q * sign[..., None, :], -1, -2)
