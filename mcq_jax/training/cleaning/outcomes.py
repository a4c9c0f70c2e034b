"""The two primary outcomes: how many nodes it takes, do place and letter mix."""

import math

import numpy as np
from jaxtyping import Float, Int


def log_nodes(
    sizes: Int[np.ndarray, " set"],
    recovery: Float[np.ndarray, " set"],
    *,
    wanted: float = 0.8,
) -> float | None:
    """Returns O1: log2 of the number of nodes that bring back a share of the effect.

    Between two sizes the recovery is read in a straight line, so that a model of 20
    nodes has more than a few possible values. None if not even all of them do.

    Args:
        sizes: how many of the first nodes of a rank, rising.
        recovery: their sufficiency on questions by which the rank was not made.
        wanted: the share.
    """
    sizes = np.concatenate([[0], sizes])
    recovery = np.concatenate([[0.0], recovery])
    enough = np.flatnonzero(recovery >= wanted)
    if not len(enough):
        return None
    last = int(enough[0])
    share = (wanted - recovery[last - 1]) / (recovery[last] - recovery[last - 1])
    count = sizes[last - 1] + share * (sizes[last] - sizes[last - 1])
    # Less than one node is one: its logarithm would fall without end.
    return math.log2(max(float(count), 1.0))


def overlap(
    place: Float[np.ndarray, " layer"], letter: Float[np.ndarray, " layer"]
) -> float | None:
    """Returns O2: how far place and letter are there at once, from 0 to 1.

    The sum over layers of the lesser of the two, by that of the greater. A place in
    early layers and a letter in later ones is clean: 0. Both in all layers is 1.
    None where neither is in any layer.

    Args:
        place, letter: follow-D of the residual stream at the answer position in front
            of each layer; below 0 counts as 0.
    """
    place, letter = (np.maximum(np.asarray(x, float), 0.0) for x in (place, letter))
    total = np.maximum(place, letter).sum()
    return float(np.minimum(place, letter).sum() / total) if total > 0 else None
