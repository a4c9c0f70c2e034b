"""The few dimensions that carry a head's scores, whatever else its queries hold.

Variance counts dimensions that nobody reads. Here a dimension counts by what it adds to
the products of queries and keys. For q and k drawn independently, the mean square of
what a subspace with projection P loses of the centred score is

    E [(q' (I - P) k)^2] = tr((I - P) Cq (I - P) Ck)
"""

import numpy as np
from jaxtyping import Float, Num

from mcq_jax.metrics.subspaces import Basis

_STEPS = 400
_HALVINGS = 40


def score_spectrum(
    queries: Num[np.ndarray, "row width"], keys: Num[np.ndarray, "key width"]
) -> Float[np.ndarray, " vector"]:
    """Returns how much variance of the score each dimension can carry at best.

    The squared singular values of Cq^(1/2) Ck^(1/2): no matrix of rank r between q and
    k keeps more than the first r of them. `rank_for` of it is the score-optimal rank.
    """
    roots = [_root(_covariance(x)) for x in (queries, keys)]
    return np.linalg.svd(roots[0] @ roots[1], compute_uv=False) ** 2


def score_optimal(
    queries: Num[np.ndarray, "row width"],
    keys: Num[np.ndarray, "key width"],
    rank: int,
    *,
    name: str,
) -> tuple[Basis, Basis]:
    """Returns the subspace that loses least of the score, centred for both sides.

    Both bases have the same vectors: whether queries or keys are projected is one to
    their product. Found by descent (Barzilai-Borwein steps, orthonormal after each)
    from three starts; `score_lost` says how far it is from `score_spectrum`. Subspaces
    of several ranks need not be nested.
    """
    width = np.shape(queries)[-1]
    if not 1 <= rank <= width:
        raise ValueError(
            f"{rank} dimensions of {width} for {name}; ask for 1 to {width}."
        )
    of_queries, of_keys = _covariance(queries), _covariance(keys)
    left, _, right = np.linalg.svd(_root(of_queries) @ _root(of_keys))
    both = of_queries @ of_keys
    starts = (
        np.linalg.eigh(both + both.T)[1][:, ::-1][:, :rank],
        _root(of_queries) @ left[:, :rank],
        _root(of_keys) @ right[:rank].T,
    )
    found = [_descend(_orthonormal(start), of_queries, of_keys) for start in starts]
    best = min(found, key=lambda w: _lost(w, of_queries, of_keys))
    # In the order of what they carry.
    inside = best.T @ (both + both.T) @ best
    vectors = (best @ np.linalg.eigh(inside)[1][:, ::-1]).T
    weights = score_spectrum(queries, keys)[:rank]
    query, key = (
        Basis(
            name=f"{name} ({whose})",
            vectors=vectors,
            center=np.asarray(x, np.float64).mean(axis=0),
            weights=weights,
        )
        for whose, x in (("queries", queries), ("keys", keys))
    )
    return query, key


def score_lost(
    vectors: Float[np.ndarray, "vector width"],
    queries: Num[np.ndarray, "row width"],
    keys: Num[np.ndarray, "key width"],
) -> float:
    """Returns the mean square of what a subspace loses, as a share of the variance.

    0: all of the score is there; above 1: worse than no score at all.
    """
    of_queries, of_keys = _covariance(queries), _covariance(keys)
    none = np.zeros((len(of_queries), 0))
    whole = _lost(none, of_queries, of_keys)
    if whole <= 0:
        raise ValueError(
            "Scores of these queries and keys do not vary, so that nothing can be lost;"
            " give rows that differ."
        )
    return _lost(np.asarray(vectors, np.float64).T, of_queries, of_keys) / whole


def _descend(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Descends to an orthonormal w [width, rank] that loses less."""
    slope = _slope(w, a, b)
    step = 1 / max(np.linalg.norm(a, 2) * np.linalg.norm(b, 2), np.finfo(float).tiny)
    lost = [_lost(w, a, b)]
    for _ in range(_STEPS):
        length = (slope**2).sum()
        if not length > 1e-24 * (1 + lost[0]) ** 2:
            break
        # Not monotone: steps of this kind must be let go up now and then.
        for _ in range(_HALVINGS):
            moved = _orthonormal(w - step * slope)
            now = _lost(moved, a, b)
            if now <= max(lost[-8:]) - 1e-4 * step * length:
                break
            step /= 2
        else:
            break
        next_slope = _slope(moved, a, b)
        way, turn = moved - w, next_slope - slope
        step = (way**2).sum() / max(abs((way * turn).sum()), np.finfo(float).tiny)
        w, slope = moved, next_slope
        lost.append(now)
    return w


def _lost(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    left, right = a - w @ (w.T @ a), b - w @ (w.T @ b)
    return float((left * right.T).sum())


def _slope(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The gradient, along the orthonormal matrices."""
    whole = (a @ b - a @ w @ (w.T @ b)) @ w + (b @ a - b @ w @ (w.T @ a)) @ w
    return -2 * (whole - w @ (w.T @ whole))


def _orthonormal(w: np.ndarray) -> np.ndarray:
    return np.linalg.qr(w)[0]


def _covariance(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(
            f"Scores of an array of shape {x.shape}; give at least two rows [row, "
            "width] of finite numbers."
        )
    away = x - x.mean(axis=0)
    return away.T @ away / len(x)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
