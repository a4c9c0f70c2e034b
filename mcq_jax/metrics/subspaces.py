"""Subspaces of a head's queries, keys or values, each as an orthonormal basis.

Fit them on one half of the questions, in one frame (`passes.seen_by_heads`), and use
them on the other. Four labels have at most three dimensions of class means: that few
dimensions do is no finding by itself; how many are needed as options grow may be.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Num, Shaped

from mcq_jax.arguments import require_finite
from mcq_jax.interventions.projections import SMALLEST_SHARE, orthogonal_part

# Of the largest singular value: smaller ones are of no direction.
_NOTHING = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Basis:
    """A subspace with a name; directions in order, the most important first."""

    name: str
    # Orthonormal, as many as there are independent ones.
    vectors: Float[np.ndarray, "vector width"]
    # What stands in where nothing is kept: rank 0.
    center: Float[np.ndarray, " width"]
    # How much each direction carries, in the unit of the method; () where none has one.
    weights: Float[np.ndarray, " vector"]

    @property
    def rank(self) -> int:
        """How many dimensions there are."""
        return len(self.vectors)

    @property
    def width(self) -> int:
        return self.vectors.shape[1]

    def first(self, rank: int) -> "Basis":
        """Returns the first dimensions only; rank 0 is the center alone."""
        if not 0 <= rank <= self.rank:
            raise ValueError(
                f"{rank} dimensions of {self.name}, which has {self.rank}; ask for 0 "
                f"to {self.rank}."
            )
        return dataclasses.replace(
            self,
            name=f"{self.name}, rank {rank}",
            vectors=self.vectors[:rank],
            weights=self.weights[:rank],
        )

    def project(
        self, x: Num[np.ndarray, "*rows width"]
    ) -> Float[np.ndarray, "*rows width"]:
        """Returns what is left of x if only the subspace is kept, seen from center."""
        away = np.asarray(x, np.float64) - self.center
        return self.center + (away @ self.vectors.T) @ self.vectors

    def completed(self) -> Float[np.ndarray, "width width"]:
        """Returns an orthonormal basis of everything that begins with this one.

        With it the subspace, its complement and all of it are one array each of
        truth values (`vector_gates`), and a sweep over ranks is data.
        """
        others = np.eye(self.width) - self.vectors.T @ self.vectors
        left = self.width - self.rank
        return np.concatenate([self.vectors, np.linalg.svd(others)[2][:left]])


def vector_gates(
    width: int, rank: int, *, complement: bool = False
) -> Bool[np.ndarray, " vector"]:
    """Returns which vectors of a completed basis are swapped (or replaced by a mean).

    The first `rank`, or all others: to keep only a subspace is to replace its
    complement.
    """
    inside = np.arange(width) < rank
    return ~inside if complement else inside


def singular_vectors(x: Num[np.ndarray, "row width"], *, name: str) -> Basis:
    """Returns the directions of most variance; the weight is the variance along each.

    Variance counts dimensions that nobody reads: see `score_subspaces`.
    """
    x = _rows(x, name)
    center = x.mean(axis=0)
    vectors, sizes = _directions((x - center) / len(x) ** 0.5)
    return Basis(name=name, vectors=vectors, center=center, weights=sizes**2)


def rank_for(weights: Float[np.ndarray, " vector"], share: float) -> int:
    """Returns how many directions carry a share of the sum of all weights."""
    require_finite(weights, "weights of a basis")
    if not 0 < share <= 1 or not len(weights):
        raise ValueError(
            f"A share of {share} of {len(weights)} weights; give a share above 0, at "
            "most 1, and a basis with directions."
        )
    reached = np.cumsum(weights) >= share * weights.sum() * (1 - 1e-9)
    return int(np.argmax(reached)) + 1


def class_means(
    x: Num[np.ndarray, "row width"],
    classes: Shaped[np.ndarray, " row"],
    *,
    name: str,
) -> Basis:
    """Returns the span of the classes' means around their own mean.

    n classes have at most n - 1 dimensions, and as many as are independent.
    """
    means = _means(_rows(x, name), classes)
    center = means.mean(axis=0)
    vectors, sizes = _directions((means - center) / len(means) ** 0.5)
    return Basis(name=name, vectors=vectors, center=center, weights=sizes**2)


def feature_direction(
    x: Num[np.ndarray, "row width"],
    has_feature: Bool[np.ndarray, " row"],
    classes: Shaped[np.ndarray, " row"],
) -> Float[np.ndarray, " width"]:
    """Returns the mean difference that a feature makes within a class.

    Such as "the right option was seen already", within the label's place. Classes in
    which the feature never varies are left out.
    """
    x, has_feature = np.asarray(x, np.float64), np.asarray(has_feature, bool)
    found = [
        x[(classes == c) & has_feature].mean(axis=0)
        - x[(classes == c) & ~has_feature].mean(axis=0)
        for c in np.unique(classes)
        if 0 < has_feature[classes == c].mean() < 1
    ]
    if not found:
        raise ValueError(
            "The feature varies within no class, so that it cannot be told from the "
            "classes; give rows in which it does."
        )
    return np.mean(found, axis=0)


def with_directions(
    basis: Basis, directions: Num[np.ndarray, "*direction width"], *, name: str
) -> Basis:
    """Returns the subspace joined with directions; dependent ones add nothing.

    Such as a feature's, or a random one as its control (`random_directions`).
    """
    directions = np.atleast_2d(np.asarray(directions, np.float64))
    vectors = _independent(np.concatenate([basis.vectors, directions]))
    weights = np.zeros(len(vectors))
    weights[: len(basis.weights)] = basis.weights
    return Basis(name=name, vectors=vectors, center=basis.center, weights=weights)


def random_directions(
    count: int, width: int, *, seed: int
) -> Float[np.ndarray, "direction width"]:
    """Returns orthonormal directions, all equally likely."""
    if not 1 <= count <= width:
        raise ValueError(
            f"{count} random directions of {width} dimensions; ask for 1 to {width}."
        )
    drawn = np.random.default_rng(seed).normal(size=(count, width))
    return _independent(drawn)


def contrastive_covariance(
    queries: Num[np.ndarray, "prompt width"],
    keys: Num[np.ndarray, "prompt key width"],
    agrees: Bool[np.ndarray, "prompt key"],
    *,
    name: str,
) -> tuple[Basis, Basis]:
    """Returns the subspaces of queries and keys in which a feature's agreement shows.

    The singular vectors of the mean of q k' over pairs that agree in the feature minus
    that over pairs that do not (Lee et al. 2026, arXiv 2602.04752). Weights are the
    singular values.
    """
    queries, keys = np.asarray(queries, np.float64), np.asarray(keys, np.float64)
    if not 0 < agrees.mean() < 1:
        raise ValueError(
            f"{agrees.sum()} of {agrees.size} pairs agree in the feature of {name}; "
            "give some that do and some that do not."
        )
    sums = [
        np.einsum("pk,pw,pkv->wv", pairs / pairs.sum(), queries, keys)
        for pairs in (agrees, ~agrees)
    ]
    require_finite(sums, "products of queries and keys")
    left, sizes, right = np.linalg.svd(sums[0] - sums[1])
    count = int((sizes > _NOTHING * max(sizes[0], np.finfo(float).tiny)).sum())
    query, key = (
        Basis(
            name=f"{name} ({whose})",
            vectors=vectors[:count],
            center=x.reshape(-1, x.shape[-1]).mean(axis=0),
            weights=sizes[:count],
        )
        for whose, x, vectors in (("queries", queries, left.T), ("keys", keys, right))
    )
    return query, key


def _rows(x: np.ndarray, name: str) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(
            f"{name} from an array of shape {x.shape}; give at least two rows [row, "
            "width] of finite numbers."
        )
    return x


def _means(x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    if len(classes) != len(x) or len(np.unique(classes)) < 2:
        raise ValueError(
            f"{len(classes)} classes of {len(np.unique(classes))} kinds for {len(x)} "
            "rows; give each row a class, two of them at least."
        )
    return np.stack([x[classes == c].mean(axis=0) for c in np.unique(classes)])


def _directions(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right singular vectors that are there at all, and their singular values."""
    _, sizes, vectors = np.linalg.svd(rows, full_matrices=False)
    is_there = sizes > _NOTHING * max(sizes[0], np.finfo(float).tiny)
    return vectors[is_there], sizes[is_there]


def _independent(vectors: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Gram-Schmidt in float64; dependent vectors are left out."""
    vectors = np.asarray(vectors, np.float64)
    found = np.zeros((0, vectors.shape[1]))
    for vector in vectors:
        left = orthogonal_part(vector, found)
        if np.linalg.norm(left) > SMALLEST_SHARE * np.linalg.norm(vector):
            found = np.concatenate([found, [left / np.linalg.norm(left)]])
    return found
