"""Effects of place and letter apart: by hand where both are balanced, else refused."""

import itertools

import numpy as np
import pytest

from mcq_jax import metrics
from mcq_jax.metrics import additive_means, subspace_overlap

WIDTH = 9


def _balanced(letter_size: float):
    """Each letter on each place twice; effects of the two lie in dimensions apart."""
    random = np.random.default_rng(0)
    of_place, of_letter = random.normal(size=(2, 4, WIDTH))
    of_place[:, 4:], of_letter[:, :4] = 0, 0
    pairs = np.array(list(itertools.product(range(4), range(4))) * 2)
    x = 1.5 + of_place[pairs[:, 0]] + letter_size * of_letter[pairs[:, 1]]
    return x, {"place": pairs[:, 0], "letter": pairs[:, 1]}


def test_balanced_effects_are_the_class_means_and_lie_apart():
    x, factors = _balanced(0.5)
    found = additive_means(x, factors)
    for name, classes in factors.items():
        means = metrics.class_means(x, classes, name=name)
        assert found[name].rank == means.rank == 3
        assert subspace_overlap(found[name], means) == pytest.approx(1)
        np.testing.assert_allclose(found[name].weights, means.weights, rtol=1e-9)
        np.testing.assert_allclose(found[name].center, x.mean(axis=0), atol=1e-12)
    assert subspace_overlap(found["place"], found["letter"]) == pytest.approx(0)


def test_unbalanced_effects_are_those_of_the_construction():
    x, factors = _balanced(0.5)
    kept = np.random.default_rng(1).choice(len(x), 22, replace=False)
    part = additive_means(x[kept], {name: of[kept] for name, of in factors.items()})
    whole = additive_means(x, factors)
    for name in factors:
        assert subspace_overlap(part[name], whole[name]) == pytest.approx(1)
        # Plain class means of so few would mix the two.
        plain = metrics.class_means(x[kept], factors[name][kept], name=name)
        assert subspace_overlap(plain, whole[name]) < 0.999


def test_a_factor_without_effect_has_no_dimensions():
    x, factors = _balanced(0)
    found = additive_means(x.astype(np.float32), factors)
    assert (found["place"].rank, found["letter"].rank) == (3, 0)
    assert subspace_overlap(found["place"], found["letter"]) == 0


def test_labels_in_one_order_cannot_be_taken_apart():
    x, factors = _balanced(0.5)
    same = factors["place"]
    with pytest.raises(ValueError, match="not 6 different things"):
        additive_means(x, {"place": same, "letter": (same + 1) % 4})
