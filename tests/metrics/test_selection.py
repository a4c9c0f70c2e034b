from collections import Counter

import numpy as np
import pytest

from mcq_jax import metrics

EFFECT = np.array([[0.5, -1.0, 2.0], [4.0, 0.0, 3.0]])  # sums to 8.5, positives to 9.5


def test_the_smallest_prefix_that_reaches_the_share_of_the_total_is_chosen():
    found = metrics.select(EFFECT, 10.0, share=0.7)
    assert found.nodes == ((1, 0), (1, 2))  # 4 + 3 is 0.7 of 10 exactly
    assert found.reached and found.share_reached == pytest.approx(0.7)
    more = metrics.select(EFFECT, 10.0, share=0.71)
    assert more.nodes == ((1, 0), (1, 2), (0, 2))


def test_the_share_is_of_the_total_and_not_of_the_sum_of_positives():
    assert len(metrics.select(EFFECT, 5.0, share=0.8).nodes) == 1
    assert len(metrics.select(EFFECT, 9.5, share=0.8).nodes) == 3


def test_an_unreachable_share_gives_the_nearest_prefix_and_says_so():
    found = metrics.select(EFFECT, 20.0, share=0.8)
    assert not found.reached
    assert found.nodes == ((1, 0), (1, 2), (0, 2))
    assert found.share_reached == pytest.approx(9 / 20)


def test_a_node_that_writes_more_than_all_waits_for_what_takes_it_back():
    """Of a real model: one block has 1.33 of the total, and restored 0.28 alone."""
    opposed = np.array([[2.9, -1.8, -1.5], [1.0, 0.9, 0.7]])  # sums to 2.2
    found = metrics.select(opposed, 2.2, share=0.8)
    assert found.share_reached == pytest.approx(2.2 / 2.2) and len(found.nodes) == 6
    wide = metrics.select(opposed, 2.2, share=0.6)  # up to 1.4 of it
    assert len(wide.nodes) == 1
    never = metrics.select(opposed[:1, :2], 2.2, share=0.8)
    assert not never.reached and len(never.nodes) == 1  # 0.32 off, then 0.5


def test_negative_nodes_rank_by_their_size_and_are_kept_in_the_set():
    found = metrics.select(EFFECT, 10.0, share=0.5)
    assert found.ranking[3] == (0, 1) and len(found.ranking) == EFFECT.size
    assert found.cumulative_share[-1] == pytest.approx(0.85)
    opposed = np.array([[-5.0, 4.0, 3.0], [2.0, 1.0, 0.0]])  # sums to 5
    chosen = metrics.select(opposed, 5.0, share=0.8)
    assert chosen.nodes == ((0, 0), (0, 1), (0, 2), (1, 0))


def test_selecting_without_an_effect_is_refused():
    with pytest.raises(ValueError, match="positive total; found -0.2"):
        metrics.select(EFFECT, -0.2)


def test_the_next_best_nodes_follow_in_rank_and_number():
    found = metrics.select(EFFECT, 10.0, share=0.7)
    assert metrics.next_best(found) == ((0, 2), (0, 1))
    sets = metrics.cumulative_sets(found.ranking, (0, 1, 3))
    assert sets == ((), ((1, 0),), ((1, 0), (1, 2), (0, 2)))


def test_random_sets_have_the_heads_of_each_layer_and_exclude_the_set_itself():
    shape = (6, 9)
    nodes = ((2, 0), (2, 5), (4, 1), (4, 2), (4, 7))
    for found in metrics.random_sets(nodes, shape=shape, sets=30, seed=1):
        assert Counter(layer for layer, _ in found.nodes) == {2: 2, 4: 3}
        assert all(index < 8 for _, index in found.nodes)
        assert len(set(found.nodes)) == 5 and not set(found.nodes) & set(nodes)
        assert (found.moved, found.shared) == (0, 0)


def test_a_block_is_replaced_by_the_block_of_a_nearest_layer():
    seen = set()
    for found in metrics.random_sets(((3, 4),), shape=(7, 5), sets=40):
        assert found.nodes[0] in {(2, 4), (4, 4)} and found.moved == 1
        seen |= set(found.nodes)
    assert len(seen) == 2


def test_heads_of_an_exhausted_layer_move_to_neighbouring_layers():
    nodes = ((1, 0), (1, 1), (1, 2))  # 3 of 4 heads of the layer
    for found in metrics.random_sets(nodes, shape=(3, 5), sets=20):
        assert (1, 3) in found.nodes
        assert (found.moved, found.shared) == (2, 0)
        assert {layer for layer, index in found.nodes if index != 3} <= {0, 1, 2}


def test_a_set_of_every_block_has_only_itself_left():
    nodes = ((0, 2), (1, 2))
    (found,) = metrics.random_sets(nodes, shape=(2, 3), sets=1)
    assert set(found.nodes) == set(nodes) and found.shared == 2


def test_random_sets_depend_on_the_seed_alone():
    nodes = ((0, 0), (1, 1), (2, 8))

    def draw(seed: int) -> tuple[metrics.RandomSet, ...]:
        return metrics.random_sets(nodes, shape=(4, 9), sets=5, seed=seed)

    assert draw(0) == draw(0) and draw(0) != draw(1)


def test_a_node_mask_is_true_at_the_nodes():
    mask = metrics.node_mask(((0, 1), (1, 2)), (2, 3))
    np.testing.assert_array_equal(mask, [[False, True, False], [False, False, True]])
