"""What one variable does to queries or keys while another is held: as subspaces.

Where labels stand in their own order, place and letter are one variable, and the means
of its classes say nothing about which is meant. Fit on prompts whose labels are
permuted.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Num, Shaped

from mcq_jax.metrics.subspaces import Basis

# Of the spread of all rows: an effect this small is rounding.
_NOTHING = 1e-4


def additive_means(
    x: Num[np.ndarray, "row width"],
    factors: Mapping[str, Shaped[np.ndarray, " row"]],
) -> dict[str, Basis]:
    """Returns for each factor the span of its classes' effects, the others held.

    Least squares of x = mean + effect of each factor's class, effects of a factor
    adding up to 0. A factor without effect has a basis of rank 0. Spans of two factors
    need not be orthogonal: see `subspace_overlap`.
    """
    x = np.asarray(x, np.float64)
    levels = {name: np.unique(of, return_inverse=True) for name, of in factors.items()}
    coded = {
        name: np.concatenate([np.eye(len(names) - 1), -np.ones((1, len(names) - 1))])
        for name, (names, _) in levels.items()
    }
    columns = [coded[name][index] for name, (_, index) in levels.items()]
    design = np.concatenate([np.ones((len(x), 1)), *columns], axis=1)
    found, _, rank, _ = np.linalg.lstsq(design, x, rcond=None)
    if rank < design.shape[1]:
        raise ValueError(
            f"{' and '.join(factors)} of these {len(x)} rows are not "
            f"{design.shape[1] - 1} different things (do labels stand in one order?); "
            "fit on prompts whose labels are permuted."
        )
    spread = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean() ** 0.5
    bases, start = {}, 1
    for name, codes in coded.items():
        effects = codes @ found[start : start + codes.shape[1]]
        start += codes.shape[1]
        _, sizes, vectors = np.linalg.svd(
            effects / len(effects) ** 0.5, full_matrices=False
        )
        is_there = sizes > _NOTHING * max(spread, np.finfo(float).tiny)
        bases[name] = Basis(
            name=name,
            vectors=vectors[is_there],
            center=found[0],
            weights=sizes[is_there] ** 2,
        )
    return bases


def subspace_overlap(first: Basis, second: Basis) -> float:
    """Returns how much of the smaller subspace lies in the other: 0 none, 1 all of it.

    The mean squared cosine of their principal angles; 0 where one has rank 0.
    """
    if not first.rank or not second.rank:
        return 0.0
    cosines = np.linalg.svd(first.vectors @ second.vectors.T, compute_uv=False)
    return float((cosines**2).mean())
