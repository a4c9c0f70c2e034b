"""Score parts: recovered where they are planted, and always adding up."""

import numpy as np
import pytest

from mcq_jax import metrics

EXACT = 1e-9
WIDTH, CHOICES, SCALE = 12, 4, 0.3


def centred_effects(seed: int, count: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return drawn - drawn.mean(axis=0)


def planted(questions: int = 8, noise: float = 0.0, *, natural: bool = False):
    """Every gold place under every cyclic order of the labels, with known effects."""
    generator = np.random.default_rng(0)
    a, b, alpha, beta = (centred_effects(seed, CHOICES) for seed in (1, 2, 3, 4))
    gamma = generator.normal(size=WIDTH)
    mean_q, mean_k = generator.normal(size=(2, WIDTH))
    rows = [
        (q, gold, shift)
        for q in range(questions)
        for gold in range(CHOICES)
        for shift in range(1 if natural else CHOICES)
    ]
    question, gold, shift = map(np.array, zip(*rows, strict=True))
    place = np.tile(np.arange(CHOICES), (len(rows), 1))
    letter = (place + shift[:, None]) % CHOICES
    index = np.arange(len(rows))
    seen = (place > gold[:, None]).astype(float)
    queries = mean_q + a[gold] + b[letter[index, gold]]
    keys = mean_k + alpha[place] + beta[letter] + seen[..., None] * gamma
    queries = queries + noise * generator.normal(size=queries.shape)
    keys = keys + noise * generator.normal(size=keys.shape)

    def contrast(of_keys):  # [prompt, choice, width] -> gold less mean of others
        own = of_keys[index, gold]
        return own - (of_keys.sum(axis=1) - own) / (CHOICES - 1)

    truth = {
        "place": (a[gold] * contrast(alpha[place])).sum(-1),
        "letter": (b[letter[index, gold]] * contrast(beta[letter])).sum(-1),
        "cross": (a[gold] * contrast(beta[letter])).sum(-1)
        + (b[letter[index, gold]] * contrast(alpha[place])).sum(-1),
        "mean": contrast(alpha[place] + beta[letter]) @ mean_q,
    }
    whole = (queries * contrast(keys)).sum(-1)
    given = (queries, keys, place, letter, gold, question)
    return given, {name: SCALE * value for name, value in truth.items()}, SCALE * whole


def test_planted_effects_are_recovered_exactly_without_noise():
    given, truth, whole = planted()
    found = metrics.score_parts(*given, scale=SCALE, resamples=20)
    for name, expected in truth.items():
        np.testing.assert_allclose(found.parts[name], expected, atol=EXACT)
    np.testing.assert_allclose(found.parts["rest"], 0, atol=EXACT)
    seen = whole - sum(truth.values())
    np.testing.assert_allclose(found.parts["seen"], seen, atol=EXACT)
    assert found.explained_of_queries == pytest.approx(1)
    assert found.explained_of_keys == pytest.approx(1)


def test_parts_add_up_to_the_contrast_whatever_is_left_over():
    given, _, whole = planted(noise=2.0)
    found = metrics.score_parts(*given, scale=SCALE, resamples=20)
    total = sum(found.parts[name] for name in ("place", "letter", "cross"))
    total = total + sum(found.parts[name] for name in ("seen", "mean", "rest"))
    np.testing.assert_allclose(total, whole, atol=EXACT)
    np.testing.assert_allclose(found.total.mean, whole.mean())
    assert np.abs(found.parts["rest"]).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draws", "least"), [(8, 7), pytest.param(20, 17, marks=pytest.mark.exhaustive)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(draws: int, least: int):
    (queries, keys, *rest), truth, _ = planted(20)
    held = {"place": 0, "letter": 0}
    for seed in range(draws):
        generator = np.random.default_rng(100 + seed)
        found = metrics.score_parts(
            queries + 0.5 * generator.normal(size=queries.shape),
            keys + 0.5 * generator.normal(size=keys.shape),
            *rest,
            scale=SCALE,
            resamples=100,
        )
        for name in held:
            interval = found.means[name]
            held[name] += interval.low < truth[name].mean() < interval.high
            assert interval.high - interval.low < 0.4
            assert interval.questions == 20
    assert min(held.values()) >= least


def test_noise_is_not_explained():
    given, _, _ = planted(40, noise=0.5)
    found = metrics.score_parts(*given, scale=SCALE, resamples=20)
    signal = np.var(planted(1)[0][1], axis=(0, 1)).sum()
    expected = signal / (signal + 0.25 * WIDTH)
    assert found.explained_of_keys == pytest.approx(expected, abs=0.03)


def test_pure_noise_explains_nothing_of_new_questions():
    given, _, _ = planted(12)
    generator = np.random.default_rng(5)
    queries, keys = (generator.normal(size=x.shape) for x in given[:2])
    found = metrics.score_parts(queries, keys, *given[2:], scale=1.0, resamples=20)
    assert found.explained_of_queries < 0.05 and found.explained_of_keys < 0.05
    for name in ("place", "letter", "cross"):
        assert abs(found.means[name].mean) < 0.5


def test_labels_in_one_order_and_a_single_question_are_refused():
    given, _, _ = planted(natural=True)
    with pytest.raises(ValueError, match="are not .* different things"):
        metrics.score_parts(*given, scale=SCALE)
    given, _, _ = planted(1)
    with pytest.raises(ValueError, match="1 questions for 2 folds"):
        metrics.score_parts(*given, scale=SCALE)
