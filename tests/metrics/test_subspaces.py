"""Subspaces: spans that are known, ranks that are true, scores that survive."""

import numpy as np
import pytest

from mcq_jax import metrics
from mcq_jax.metrics import subspaces

EXACT = 1e-9


def assert_orthonormal(vectors: np.ndarray) -> None:
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=EXACT)


def assert_same_span(left: np.ndarray, right: np.ndarray, atol: float = EXACT) -> None:
    np.testing.assert_allclose(left.T @ left, right.T @ right, atol=atol)


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def on_a_plane(classes: int, seed: int = 0, width: int = 8) -> tuple:
    """Class means on a half circle in a random plane, and rows of exactly those."""
    plane = np.linalg.qr(random(seed, width, 2))[0].T
    angles = np.linspace(0, np.pi, classes)
    means = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane
    label = np.tile(np.arange(classes), 6)
    return means[label] + 3.0, label, plane


@pytest.mark.parametrize(("classes", "rank"), [(2, 1), (3, 2), (4, 2), (10, 2)])
def test_class_means_on_a_plane_have_two_dimensions_whatever_their_number(
    classes, rank
):
    x, label, plane = on_a_plane(classes)
    basis = metrics.class_means(x.astype(np.float32), label, name="place")
    assert basis.rank == rank
    assert_orthonormal(basis.vectors)
    np.testing.assert_allclose(basis.project(x), x, atol=1e-5)
    if rank == 2:
        assert_same_span(basis.vectors, plane, atol=1e-5)


@pytest.mark.parametrize("classes", range(2, 7))
def test_means_of_a_simplex_need_one_dimension_less_than_classes(classes):
    label = np.repeat(np.arange(classes), 3)
    basis = metrics.class_means(np.eye(8)[label], label, name="place")
    assert basis.rank == classes - 1
    np.testing.assert_allclose(basis.center, np.eye(8)[:classes].mean(0), atol=EXACT)
    # The rows are as far from the center in every direction.
    np.testing.assert_allclose(basis.weights, basis.weights[0], rtol=1e-6)


def test_class_means_count_classes_not_rows():
    label = np.array([0, 0, 0, 1])
    x = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    basis = metrics.class_means(x, label, name="place")
    np.testing.assert_allclose(basis.center, [0.5, 0.5])


def test_singular_vectors_carry_the_variance_in_order():
    # Variances 9, 4 and 0 along three axes, by hand.
    x = np.array([[3.0, 2, 1], [3, -2, 1], [-3, 2, 1], [-3, -2, 1]])
    basis = metrics.singular_vectors(x, name="q")
    np.testing.assert_allclose(basis.weights, [9, 4])
    np.testing.assert_allclose(
        np.abs(basis.vectors), [[1, 0, 0], [0, 1, 0]], atol=1e-12
    )
    np.testing.assert_allclose(basis.center, [0, 0, 1])
    one = basis.first(1)
    np.testing.assert_allclose(one.project(x), x * [1, 0, 0] + [0, 0, 1], atol=1e-12)
    assert (one.rank, one.name) == (1, "q, rank 1")
    np.testing.assert_allclose(basis.first(0).project(x), np.tile([0, 0, 1], (4, 1)))


def arcs_in_junk() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places on an arc; queries and keys have large junk in dimensions of their own."""
    turn = np.linalg.qr(random(1, 8, 8))[0]
    angles = np.linspace(0, np.pi, 5)[np.tile(np.arange(5), 200)]
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    junk, none = 3 * random(2, 1000, 6), np.zeros((1000, 3))
    queries = np.concatenate([arc, junk[:, :3], none], axis=1) @ turn
    keys = np.concatenate([arc, none, junk[:, 3:]], axis=1) @ turn
    return queries, keys, turn[:2]


def test_the_score_optimal_rank_sees_through_junk_that_nobody_reads():
    queries, keys, plane = arcs_in_junk()
    spectrum = metrics.score_spectrum(queries, keys)
    assert metrics.rank_for(spectrum, 0.98) == 2
    by_variance = metrics.singular_vectors(queries, name="q")
    assert metrics.rank_for(by_variance.weights, 0.9) == 3
    query, key = metrics.score_optimal(queries, keys, 2, name="place")
    assert_orthonormal(query.vectors)
    np.testing.assert_array_equal(query.vectors, key.vectors)
    assert metrics.score_lost(query.vectors, queries, keys) < 0.02
    assert metrics.score_lost(plane, queries, keys) < EXACT
    assert_same_span(query.vectors, plane, atol=0.1)
    assert metrics.score_lost(by_variance.vectors[:2], queries, keys) > 0.5


def test_score_lost_is_that_of_the_scores_themselves():
    queries, keys = random(3, 50, 4), random(4, 70, 4)
    away = queries - queries.mean(0), keys - keys.mean(0)
    whole = away[0] @ away[1].T
    np.testing.assert_allclose(
        metrics.score_spectrum(queries, keys).sum(), whole.var(), rtol=1e-9
    )
    for rank in (1, 3):
        query, key = metrics.score_optimal(queries, keys, rank, name="all")
        kept = (query.project(queries) - query.center) @ (
            key.project(keys) - key.center
        ).T
        expected = ((whole - kept) ** 2).mean() / (whole**2).mean()
        lost = metrics.score_lost(query.vectors, queries, keys)
        np.testing.assert_allclose(lost, expected, rtol=1e-9)
        bound = metrics.score_spectrum(queries, keys)[rank:].sum() / whole.var()
        assert bound - EXACT <= lost < bound + 0.1
        others = [metrics.random_directions(rank, 4, seed=s) for s in range(20)]
        assert lost < min(metrics.score_lost(o, queries, keys) for o in others)


def test_all_dimensions_lose_nothing():
    queries, keys = random(3, 50, 4), random(4, 70, 4)
    query, _ = metrics.score_optimal(queries, keys, 4, name="all")
    np.testing.assert_allclose(query.project(queries), queries, atol=EXACT)


def test_a_feature_adds_its_direction_and_a_dependent_one_adds_nothing():
    x, label, _ = on_a_plane(4)
    seen = np.arange(len(label)) % 3 == 0
    gamma = random(5, 8)
    x = x + np.outer(seen, gamma)
    direction = metrics.feature_direction(x, seen, label)
    np.testing.assert_allclose(direction, gamma, atol=EXACT)
    basis = metrics.class_means(x, label, name="place")
    joined = metrics.with_directions(basis, direction, name="place + seen")
    assert joined.rank == basis.rank + 1
    assert_orthonormal(joined.vectors)
    np.testing.assert_allclose(joined.vectors[: basis.rank], basis.vectors)
    inside = joined.vectors @ (gamma / np.linalg.norm(gamma))
    np.testing.assert_allclose(np.linalg.norm(inside), 1, atol=EXACT)
    again = metrics.with_directions(joined, joined.vectors[::-1] * 7, name="same")
    assert again.rank == joined.rank
    random_one = metrics.random_directions(1, 8, seed=0)
    control = metrics.with_directions(basis, random_one, name="place + random")
    assert control.rank == basis.rank + 1


def test_contrastive_covariance_finds_what_agreement_is_read_from():
    # Feature f in {-1, 1}: queries along a, keys along b; junk elsewhere.
    a, b = np.eye(6)[1], np.eye(6)[4]
    of_query = np.tile([1.0, -1.0], 200)
    of_key = np.tile([1.0, 1, -1, -1], 100)
    queries = np.outer(of_query, a) + random(6, 400, 6) * (np.arange(6) == 0) * 2
    keys = (np.outer(of_key, b) + random(7, 400, 6) * (np.arange(6) == 2) * 2)[:, None]
    agrees = (of_query == of_key)[:, None]
    query, key = metrics.contrastive_covariance(queries, keys, agrees, name="f")
    assert abs(query.vectors[0] @ a) > 0.9 and abs(key.vectors[0] @ b) > 0.9
    exact_q, exact_k = metrics.contrastive_covariance(
        np.outer(of_query, a), np.outer(of_key, b)[:, None], agrees, name="f"
    )
    assert exact_q.rank == exact_k.rank == 1
    np.testing.assert_allclose(exact_q.weights, [2.0])  # 1 where they agree, else -1


def test_gates_of_a_completed_basis_keep_swap_and_leave():
    x, label, _ = on_a_plane(4)
    basis = metrics.class_means(x, label, name="place")
    whole = basis.completed()
    assert_orthonormal(whole)
    np.testing.assert_array_equal(whole[: basis.rank], basis.vectors)
    y, s = random(8, 3, 8), random(9, 3, 8)

    def swapped(gate):
        return y + ((s - y) @ whole.T * gate) @ whole

    everything = metrics.vector_gates(8, 8)
    np.testing.assert_allclose(swapped(everything), s, atol=EXACT)
    np.testing.assert_allclose(swapped(metrics.vector_gates(8, 0)), y, atol=EXACT)
    inside = swapped(metrics.vector_gates(8, 2))
    outside = swapped(metrics.vector_gates(8, 2, complement=True))
    np.testing.assert_allclose(inside + outside, y + s, atol=EXACT)
    np.testing.assert_allclose(inside @ basis.vectors.T, s @ basis.vectors.T)


def test_random_directions_are_orthonormal_and_their_seeds():
    drawn = metrics.random_directions(3, 5, seed=1)
    assert_orthonormal(drawn)
    np.testing.assert_array_equal(drawn, metrics.random_directions(3, 5, seed=1))
    assert abs(drawn[0] @ metrics.random_directions(3, 5, seed=2)[0]) < 0.999


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: subspaces.singular_vectors(np.ones((1, 3)), name="q"), "two rows"),
        (lambda: subspaces.singular_vectors(np.full((2, 3), np.nan), name="q"), "fin"),
        (lambda: metrics.class_means(np.ones((3, 2)), np.zeros(3), name="p"), "two of"),
        (
            lambda: metrics.score_lost(np.eye(2), np.ones((3, 2)), np.ones((3, 2))),
            "do not vary",
        ),
        (
            lambda: metrics.score_optimal(
                random(0, 4, 3), random(1, 4, 3), 4, name="s"
            ),
            "4 dimensions of 3 for ",
        ),
        (lambda: metrics.random_directions(4, 3, seed=0), "ask for 1 to 3"),
        (lambda: metrics.rank_for(np.zeros(0), 0.9), "a basis with directions"),
        (
            lambda: metrics.feature_direction(
                np.ones((2, 3)), np.array([True, False]), np.arange(2)
            ),
            "varies within no class",
        ),
        (
            lambda: metrics.contrastive_covariance(
                np.ones((1, 2)), np.ones((1, 3, 2)), np.ones((1, 3), bool), name="f"
            ),
            "3 of 3 pairs agree",
        ),
        (
            lambda: metrics.singular_vectors(random(0, 4, 3), name="q").first(4),
            "4 dimensions of q, which has 3",
        ),
    ],
)
def test_what_makes_no_subspace_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_rows_that_never_vary_have_no_dimension():
    basis = metrics.singular_vectors(np.ones((4, 3)), name="constant")
    assert basis.rank == 0
    np.testing.assert_allclose(basis.project(random(0, 2, 3)), np.ones((2, 3)))
