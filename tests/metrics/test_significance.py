import numpy as np

from mcq_jax import metrics


def test_sign_flips_by_question_see_an_effect_and_not_its_rotations():
    generator = np.random.default_rng(0)
    question = np.repeat(np.arange(30), 4)
    noise = np.repeat(generator.normal(size=30), 4)
    assert metrics.sign_flip_p(noise + 1.5, question, flips=999) == 1 / 1000
    one_lucky = np.repeat([1.0, 1.0, 1.0], 40)
    three = np.repeat(np.arange(3), 40)
    # Three questions of one sign occur in 2 of 8 flips, however many their prompts.
    p_value = metrics.sign_flip_p(one_lucky, three, flips=4000)
    assert 0.22 < p_value < 0.28


def test_sign_flip_p_values_of_noise_are_even():
    small = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(size=20)
        small += metrics.sign_flip_p(values, np.arange(20), flips=200, seed=1) <= 0.1
    assert 8 <= small <= 34  # 20 expected


def test_the_maximum_statistic_keeps_the_true_node_and_rarely_names_another():
    false_finds = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        values = generator.normal(size=(40, 5, 10))
        values[:, 2, 3] += 1.5
        p_values = metrics.max_statistic_p(values, np.arange(40), flips=200, seed=seed)
        assert p_values[2, 3] < 0.05
        p_values[2, 3] = 1
        false_finds += (p_values <= 0.05).any()
    assert false_finds <= 6  # 2 expected; without correction nearly all 40


def test_nodes_that_repeat_each_other_cost_nothing():
    values = np.random.default_rng(1).normal(size=25) + 0.6
    question = np.arange(25)
    alone = metrics.max_statistic_p(values[:, None], question)
    copies = metrics.max_statistic_p(np.tile(values[:, None], 50), question)
    np.testing.assert_allclose(copies, alone[0])


def test_a_node_without_any_effect_has_p_one():
    values = np.zeros((10, 2))
    values[:, 1] = 1.0
    p_values = metrics.max_statistic_p(values, np.arange(10), flips=500)
    assert p_values[0] == 1 and p_values[1] < 0.05
