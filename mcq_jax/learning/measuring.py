"""How often an interchange moves answers as told, and what stands beside that."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from mcq_jax import metrics
from mcq_jax.learning.interchange import Pairs, Where, interchanged, rows_of
from mcq_jax.metrics import Interval
from mcq_jax.model import ModelConfig, Parameters


@dataclass(frozen=True, kw_only=True)
class MovedBy:
    """Shares of interchanges after which the base answers as told (IIA), two-way."""

    learned: Interval
    # A subspace learned for an arbitrary target of the same variable, on that target.
    control: Interval
    # The first less the second, row by row.
    margin: Interval


def moved_by(
    learned: Bool[np.ndarray, " row"],
    control: Bool[np.ndarray, " row"],
    base_question: Shaped[np.ndarray, " row"],
    source_question: Shaped[np.ndarray, " row"],
    *,
    seed: int = 0,
) -> MovedBy:
    """Returns the share of rows moved, beside the control's.

    A variable that is there is moved more surely than its values can be told to stand
    for their neighbours: only the margin speaks for it, and only between subspaces
    without what nothing reads (`read_part`). With it values can stand for others too.

    Args:
        learned: which rows answer as told; of rows whose targets, this one and the
            control's, are other answers than the base's own.
    """
    hits = (learned, control, learned.astype(float) - control.astype(float))
    shares = [
        metrics.share_two_way(h, base_question, source_question, seed=seed)
        for h in hits
    ]
    return MovedBy(learned=shares[0], control=shares[1], margin=shares[2])


def answers_under(
    parameters: Parameters,
    batches: Sequence[Pairs],
    basis: Float[np.ndarray, "slot *unit vector width"],
    where: Where,
    *,
    rows: int,
    config: ModelConfig,
) -> Int[np.ndarray, " row"]:
    """Returns which answer every row of some batches gives (`run_pairs`)."""
    found = np.zeros(rows, int)
    vectors = jnp.asarray(basis, jnp.float32)
    numbers = rows_of(rows, batches[0].count)
    for pairs, which in zip(batches, numbers, strict=True):
        logits = interchanged(parameters, pairs, vectors, where, config=config)
        found[which] = np.asarray(logits).argmax(axis=-1)
    return found


def class_mean_basis(
    batches: Sequence[Pairs],
    classes: Int[np.ndarray, " row"],
    where: Where,
    *,
    rank: int,
) -> Float[np.ndarray, "slot *unit vector width"]:
    """Returns the subspace of class means of what the sources hold: the baseline.

    Nothing is learned. Zeros stand for what is left of the rank: n classes have at most
    n - 1 dimensions.
    """
    held = [np.asarray(pairs.held[where.site], np.float32) for pairs in batches]
    rows = rows_of(len(classes), batches[0].count)
    width = held[0].shape[-1]
    of_layers = [h[np.array(where.layers), :, 0] for h in held]
    whole = np.zeros((len(where.layers), len(classes), *of_layers[0].shape[2:]))
    for which, part in zip(rows, of_layers, strict=True):
        whole[:, which] = part
    units = np.moveaxis(whole, 1, -2)  # [slot, *unit, row, width]
    flat = units.reshape(-1, len(classes), width)
    found = np.zeros((len(flat), rank, width))
    for one, x in zip(found, flat, strict=True):
        vectors = metrics.class_means(x, classes, name=str(where)).vectors[:rank]
        one[: len(vectors)] = vectors
    return found.reshape(*units.shape[:-2], rank, width)


def whole_basis(
    where: Where, config: ModelConfig
) -> Float[np.ndarray, "slot *unit vector width"]:
    """Returns the basis of all that the source holds there.

    Not the most that a subspace can move: a part may be held back by the rest.
    """
    width = where.width(config)
    return np.broadcast_to(np.eye(width), (*where.shape(config), width, width))
