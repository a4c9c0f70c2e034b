"""Heads with another prompt's queries look where it was planted, and nowhere else.

Base and source are put so that its place, letter, rank or content lead to other lines.
"""

import numpy as np
import pytest

from mcq_jax.planted import Clues, Facts, Planted, Variant, asking, plant
from mcq_jax.prompts import Question, rotations
from tests.planted.asked import ROWS, Asked, ask, take_queries

# In logits: float32 against exact arithmetic.
TOLERANCE = 3e-3
CLUES = {
    "rank": Clues(rank=1.0),
    "content": Clues(content=1.0),
    "weights": Clues(place=0.5, letter=0.2, content=0.3),
}
MORE = range(1, 20)
# Every base takes from the prompt before it.
SOURCE = np.roll(np.arange(ROWS), 1)


def _questions(choices: int) -> list[Question]:
    """The right option stands on each line in turn."""
    asked = asking.generate_questions(ROWS, choices=choices)
    return [
        next(r for r in rotations(question) if r.gold == row % choices)
        for row, question in enumerate(asked)
    ]


def _labels(letters: str, *, seed: int = 0) -> list[list[str]]:
    generator = np.random.default_rng(seed)
    return [list(generator.permutation(list(letters))) for _ in range(ROWS)]


def _swapped(
    planted: Planted, base: Asked, source: Asked, *roles: str
) -> tuple[np.ndarray, list[tuple[Facts, Facts]]]:
    """Answer logits `[prompt, choice]`, as they should be; each base and its source."""
    nodes = [node for role in roles for node in planted.truth.playing(role)]
    swapped = base.logits(*take_queries(base, source, nodes, SOURCE))
    pairs = [(f, source.facts[SOURCE[row]]) for row, f in enumerate(base.facts)]
    expected = [planted.truth.logits_after_query_swap(*pair, nodes) for pair in pairs]
    np.testing.assert_allclose(swapped, np.stack(expected), atol=TOLERANCE, rtol=0)
    return swapped, pairs


@pytest.mark.parametrize("seed", [20, 21])
@pytest.mark.parametrize("variant", Variant)
def test_a_variant_goes_by_place_or_letter(variant: Variant, seed: int):
    planted = plant(seed, variant=variant)
    asked = ask(planted, _questions(4), labels=_labels("ABCD", seed=seed))
    swapped, pairs = _swapped(
        planted, asked, asked, "correct-letter head", "negative head"
    )
    told_apart = 0
    for logits, (base, source) in zip(swapped, pairs, strict=True):
        place = source.gold
        letter = base.letters.index(source.letters[source.gold])
        if len({place, letter, base.gold}) == 3:
            goes_by_place = planted.truth.by_position > 0.5
            assert logits.argmax() == (place if goes_by_place else letter)
            told_apart += 1
    assert told_apart > 2


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *((name, 0) for name in CLUES),
        *(
            pytest.param(name, seed, marks=pytest.mark.exhaustive)
            for name in CLUES
            for seed in MORE
        ),
    ],
)
def test_attention_is_shared_by_the_clues_weights(name: str, seed: int):
    """In closed form: a softmax of each line's weights at the head's sharpness."""
    planted = plant(seed, clues=CLUES[name])
    asked = ask(planted, _questions(4), labels=_labels("ABCD"))
    _swapped(planted, asked, asked, "correct-letter head")


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in MORE)]
)
def test_a_symbol_rank_is_followed_where_no_place_is(seed: int):
    """E is first as A is first. In order, a rank cannot be told from a place."""
    planted = plant(seed, clues=Clues(rank=1.0))
    questions = _questions(4)
    followed = {"in order": [], "permuted": []}
    for how, base, source in (
        ("in order", [list("ABCD")] * ROWS, [list("EFGH")] * ROWS),
        ("permuted", _labels("ABCD", seed=1), _labels("EFGH", seed=2)),
    ):
        swapped, pairs = _swapped(
            planted,
            ask(planted, questions, labels=base),
            ask(planted, questions, labels=source),
            "correct-letter head",
        )
        for logits, (base, source) in zip(swapped, pairs, strict=True):
            ranks = [letter % 4 for letter in base.letters]
            rank = ranks.index(source.letters[source.gold] % 4)
            assert logits.argmax() == rank
            if how == "in order" or rank != source.gold:
                followed[how].append(logits.argmax() == source.gold)
    assert all(followed["in order"]) and len(followed["in order"]) == ROWS
    assert not any(followed["permuted"]) and len(followed["permuted"]) > ROWS / 2


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in MORE)]
)
def test_a_place_is_counted_from_the_start_whatever_follows(seed: int):
    """Of four options into six: the third is the third, not the second but one."""
    planted = plant(seed, choices=7)
    swapped, pairs = _swapped(
        planted,
        ask(planted, _questions(6)),
        ask(planted, _questions(4)),
        "correct-letter head",
    )
    places = [source.gold for _, source in pairs]
    assert set(places) == set(range(4))
    np.testing.assert_array_equal(swapped.argmax(axis=-1), places)
