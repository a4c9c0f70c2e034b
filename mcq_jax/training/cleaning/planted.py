"""A planted path on which a model cleans up: both outcomes of every stage of it."""

import numpy as np

from mcq_jax.training.cleaning.outcomes import log_nodes, overlap

_NODES = 20


def planted_outcomes(
    stage: float, generator: np.random.Generator | None = None
) -> tuple[float, float]:
    """Returns O1 and O2 of a planted model between messy (0) and clean (1).

    Messy: 12 of 20 nodes share the effect, and letters stand beside places in all
    layers. Clean: 3 nodes have it, and letters come behind places.

    Args:
        generator: of what differs between seeds: the stage, shares and what is followed
            jitter; nothing does where left out.
    """

    def jitter(size: float, count: int | None = None):
        return 0.0 if generator is None else generator.normal(0, size, count)

    stage = float(np.clip(stage + jitter(0.03), 0, 1))
    messy = np.where(np.arange(_NODES) < 12, 1 / 12, 0.0)
    clean = np.where(np.arange(_NODES) < 3, 1 / 3, 0.0)
    share = (1 - stage) * messy + stage * clean + jitter(0.003, _NODES)
    recovery = np.cumsum(np.sort(share / share.sum())[::-1])
    place = np.array([1, 1, 1 - stage, 1 - stage]) + jitter(0.02, 4)
    letter = np.array([1 - stage, 1 - stage, 1, 1]) + jitter(0.02, 4)
    nodes = log_nodes(np.arange(1, _NODES + 1), recovery)
    mixed = overlap(place, letter)
    assert nodes is not None and mixed is not None
    return nodes, mixed
