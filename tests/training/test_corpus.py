"""The corpus is what its recipe says, and its entropy what its formula says."""

import dataclasses
import math

import numpy as np
import pytest

from mcq_jax.training.corpus import entropy
from mcq_jax.training.corpus.recipe import Arm, CorpusRecipe
from mcq_jax.training.corpus.stream import Corpus
from mcq_jax.training.corpus.vocabulary import IDS, VOCABULARY
from tests.training.grammar import Reader

ARMS = pytest.mark.parametrize("arm", list(Arm), ids=lambda arm: arm.name.lower())


def _readers(recipe: CorpusRecipe, steps: int) -> list[Reader]:
    corpus = Corpus(recipe)
    found = []
    for step in range(steps):
        for row in corpus.batch(step).ids:
            reader = Reader([VOCABULARY[i] for i in row], recipe, corpus.world)
            reader.row()
            found.append(reader)
    return found


@pytest.mark.few
@ARMS
def test_the_floor_is_how_unlikely_the_text_is_on_average(arm):
    """The grammar reads every row in its one way, and multiplies chances."""
    recipe = CorpusRecipe(arm=arm, seed=3, rows=500)
    readers = _readers(recipe, steps=12)
    nats = np.array([sum(reader.nats.values()) for reader in readers])
    error = nats.std() / math.sqrt(len(nats))
    assert abs(nats.mean() - entropy.floor_of(recipe).nats_per_row) < 4 * error
    assert error < 0.2  # of some 30: a forgotten draw of one bit a row would be seen


@pytest.mark.few
@ARMS
def test_each_kind_of_draw_has_the_entropy_of_the_formula(arm):
    """Rows of one kind at a time, where a wrong term could not hide behind others."""
    for kind in range(5):
        recipe = CorpusRecipe(
            arm=arm, rows=800, shares=tuple(float(kind == k) for k in range(5)),
            noise=0.3,
        )  # fmt: skip
        readers = _readers(recipe, steps=3)
        nats = np.array([sum(reader.nats.values()) for reader in readers])
        error = nats.std() / math.sqrt(len(nats))
        floor = entropy.floor_of(recipe)
        assert abs(nats.mean() - floor.nats_per_row) < 4 * error + 1e-9
        weights = np.concatenate([Corpus(recipe).batch(s).weights for s in range(9)])
        tokens = weights.sum(axis=1)
        error = tokens.std() / math.sqrt(len(tokens))
        assert abs(tokens.mean() - floor.tokens_per_row) < 4 * error + 1e-9


def test_short_lists_of_few_things_have_the_entropy_of_the_formula():
    recipe = CorpusRecipe(
        rows=800, shares=(0.0, 0.0, 1.0, 0.0, 0.0), list_lines=(2, 4), listed=8
    )
    nats = np.array([sum(r.nats.values()) for r in _readers(recipe, steps=2)])
    error = nats.std() / math.sqrt(len(nats))
    assert abs(nats.mean() - entropy.floor_of(recipe).nats_per_row) < 4 * error


def test_the_answer_has_the_entropy_and_the_ceiling_of_its_noise():
    recipe = CorpusRecipe(noise=0.2, options=(1.0, 0.0, 0.0, 0.0))
    floor = entropy.floor_of(recipe)
    right, other = 0.8 + 0.2 / 3, 0.2 / 3
    by_hand = -right * math.log(right) - 2 * other * math.log(other)
    assert floor.answer_nats == pytest.approx(by_hand)
    assert floor.answer_accuracy == pytest.approx(right)
    assert floor.best_margin == pytest.approx(math.log(right / other))


def test_without_noise_the_best_margin_has_no_bound():
    floor = entropy.floor_of(CorpusRecipe(noise=0.0))
    assert floor.best_margin == math.inf and floor.answer_nats == 0


def test_arms_differ_in_the_labels_of_questions_only():
    """And of the answer, which names one of them."""
    made = {arm: Corpus(CorpusRecipe(arm=arm)).batch(7).ids for arm in Arm}
    letters = [IDS[letter] for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    for arm in (Arm.SHUFFLED, Arm.RANDOM):
        differs = made[arm] != made[Arm.FIXED]
        assert differs.any()
        assert np.isin(made[arm][differs], letters).all()
        assert np.isin(made[Arm.FIXED][differs], letters).all()
        asks = (made[Arm.FIXED] == IDS["answer"]).any(axis=1)
        assert not differs[~asks].any()


def test_half_of_the_questions_of_the_shuffled_arm_are_in_order():
    """Half, and those of the other half that happen to be: 1 in 2 n!."""
    recipe = CorpusRecipe(
        arm=Arm.SHUFFLED, rows=4000, shares=(1.0, 0, 0, 0, 0), options=(0, 1.0, 0, 0)
    )
    fixed = Corpus(dataclasses.replace(recipe, arm=Arm.FIXED))
    same = (Corpus(recipe).batch(0).ids == fixed.batch(0).ids).all(axis=1)
    expected = 0.5 + 0.5 / 24
    error = math.sqrt(expected * (1 - expected) / len(same))
    assert abs(same.mean() - expected) < 4 * error


def test_a_batch_depends_on_seed_and_step_only():
    corpus = Corpus(CorpusRecipe(seed=1))
    first = corpus.batch(5)
    corpus.batch(6)
    again = Corpus(CorpusRecipe(seed=1)).batch(5)
    np.testing.assert_array_equal(first.ids, again.ids)
    np.testing.assert_array_equal(first.weights, again.weights)
    assert (first.ids != corpus.batch(6).ids).any()
    assert (first.ids != Corpus(CorpusRecipe(seed=2)).batch(5).ids).any()


def test_weights_leave_out_padding_and_the_first_token():
    batch = Corpus(CorpusRecipe()).batch(0)
    expected = (batch.ids != IDS["<pad>"]).astype(np.float32)
    expected[:, 0] = 0
    np.testing.assert_array_equal(batch.weights, expected)


@pytest.mark.parametrize(
    ("field", "value"),
    [("shares", (0.5, 0.5)), ("options", (0.5, 0.5, 0.5, 0.5)), ("noise", 1.0),
     ("held_out", -0.1), ("rows", 0), ("seed", -1)],
)  # fmt: skip
def test_impossible_recipes_are_refused(field, value):
    with pytest.raises(ValueError, match="give"):
        CorpusRecipe(**{field: value})
