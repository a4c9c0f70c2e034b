"""When a model had learned its task, and when its loss was flat: two steps of a curve.

Models jump at different steps, and an average over steps would look gradual. So models
are compared at events and not at steps.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

LEARNED = 0.99
FLAT = 0.05


def step_learned(
    steps: Int[np.ndarray, " checkpoint"],
    accuracy: Float[np.ndarray, " checkpoint"],
    *,
    ceiling: float = 1.0,
    share: float = LEARNED,
) -> int | None:
    """Returns t99: the first of two neighbouring checkpoints at 99 % of the ceiling.

    None if there are no two.
    """
    enough = np.asarray(accuracy) >= share * ceiling
    both = np.flatnonzero(enough[:-1] & enough[1:])
    return int(steps[both[0]]) if len(both) else None


def step_flat(
    steps: Int[np.ndarray, " checkpoint"],
    excess: Float[np.ndarray, " checkpoint"],
    *,
    share: float = FLAT,
    behind: int | None = 0,
) -> int | None:
    """Returns t_flat: where the excess has twice fallen by less than 5 % per doubling.

    Compared are the excess at t / 4, t / 2 and t, read off the curve in a straight line
    over the logarithm of the step. An excess that rises has not fallen.

    Args:
        steps: 1 or more, rising.
        excess: of the loss over the exact entropy, in nats.
        share: the fall that still counts as one.
        behind: the step from which t / 4 may be; None: of a model that never learned,
            which has no such step.
    """
    if behind is None:
        return None
    steps, excess = np.asarray(steps, float), np.asarray(excess, float)
    log = np.log2(steps)

    def at(step: float) -> float:
        return float(np.interp(np.log2(step), log, excess))

    for step in steps:
        early, half = step / 4, step / 2
        if early < max(steps[0], behind):
            continue
        if _falls(at(early), at(half)) < share and _falls(at(half), at(step)) < share:
            return int(step)
    return None


def smoothed(
    losses: Sequence[tuple[int, float]], steps: Int[np.ndarray, " checkpoint"]
) -> Float[np.ndarray, " checkpoint"]:
    """Returns the mean training loss around each step: from 3/4 of it up to it.

    Args:
        losses: of every step, by its number.
    """
    number = np.array([step for step, _ in losses])
    loss = np.array([value for _, value in losses])
    return np.array(
        [loss[(number > 0.75 * step) & (number <= step)].mean() for step in steps]
    )


def _falls(before: float, after: float) -> float:
    """The share that is gone; none if there was nothing left to fall."""
    return (before - after) / before if before > 0 else 0.0
