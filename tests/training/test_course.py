"""A course goes from lesson to lesson, and scores what the text before decides."""

import dataclasses

import numpy as np
import pytest

from mcq_jax.training.corpus import (
    Arm,
    Corpus,
    CorpusRecipe,
    Course,
    Lesson,
    answering_lessons,
    floor_of,
    told,
)
from mcq_jax.training.corpus.vocabulary import IDS, VOCABULARY

LISTS = CorpusRecipe(
    rows=16, shares=(0.0, 0.0, 1.0, 0.0, 0.0), list_lines=(3,), listed=6
)
FULL = CorpusRecipe(rows=16)


def _scored(text: str) -> str:
    """The words of one row that count."""
    ids = np.array([[IDS[word] for word in text.split(" ")]])
    return " ".join(np.array(VOCABULARY)[ids[0]][told(ids)[0] > 0])


def test_a_lesson_lasts_until_its_end_and_the_last_one_for_good():
    course = Course(
        (Lesson(until=3, recipe=LISTS), Lesson(until=5, recipe=FULL)), answer_weight=2
    )
    for step, recipe in ((0, LISTS), (2, LISTS), (3, FULL), (4, FULL), (9, FULL)):
        batch = course.batch(step)
        np.testing.assert_array_equal(batch.ids, Corpus(recipe).batch(step).ids)
        np.testing.assert_array_equal(batch.weights, told(batch.ids, answer_weight=2))


def test_the_floor_of_a_course_is_that_of_its_answers():
    """Whoever knows all that is told still has to guess answers that were drawn."""

    def floor(**changes) -> float:
        recipe = dataclasses.replace(FULL, **changes)
        return Course((Lesson(until=1, recipe=recipe),), answer_weight=2).floor()

    questions, facts = (1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0)
    of_answers = floor_of(FULL).answer_nats
    assert floor(shares=questions) == pytest.approx(of_answers)
    assert floor(shares=questions, noise=0.0) == 0.0
    assert floor(shares=facts) == 0.0
    # Half and half: one answer of weight 2 beside three facts, on average.
    half = floor(shares=(0.5, 0.5, 0.0, 0.0, 0.0))
    assert half == pytest.approx(of_answers * 2 / 5, rel=0.02)


def test_the_lessons_of_an_arm_end_with_its_declared_text():
    declared = CorpusRecipe(seed=7, rows=16, arm=Arm.SHUFFLED)
    lessons = answering_lessons(declared, 3000)
    assert lessons[-1] == Lesson(until=3000, recipe=declared)
    assert [lesson.until for lesson in lessons] == [300, 500, 700, 2000, 3000]
    assert {lesson.recipe.arm for lesson in lessons} == {Arm.SHUFFLED}
    assert {lesson.recipe.seed for lesson in lessons} == {7}
    with pytest.raises(ValueError, match="begins at step 2000, so give more"):
        answering_lessons(declared, 2000)


@pytest.mark.parametrize("ends", [(), (3, 3), (4, 2), (0,)])
def test_lessons_out_of_order_are_refused(ends):
    with pytest.raises(ValueError, match="each with a later end"):
        Course(tuple(Lesson(until=end, recipe=FULL) for end in ends))


def test_what_counts_is_what_was_told():
    assert _scored("<bos> the name of the hat is ? \n A hat \n B ship \n answer A <end>"
                   ) == "A"  # fmt: skip
    assert _scored("<bos> list \n A hat \n B ship \n where ship B where hat A <end>"
                   ) == "B A"  # fmt: skip
    assert _scored("<bos> list \n Q hat \n B ship \n what Q hat <end>") == "hat"
    # The end of the first document is told too, and what stands behind it is not.
    assert _scored("<bos> back hat ship : ship hat <end> <bos> copy bird : bird <end>"
                   ) == "ship hat <end> bird <end>"  # fmt: skip
    assert _scored("<bos> the home of the hat is salt lake <end> <bos> so the") == (
        "salt"
    )
    assert _scored("<bos> count 3 4 5 <end> <pad> <pad>") == ""


def test_an_answer_counts_as_often_as_is_said():
    ids = np.array([[IDS[w] for w in "where hat A answer B <end>".split()]])
    assert told(ids, answer_weight=2.5).tolist() == [[0, 0, 1, 0, 2.5, 0]]


def test_lists_are_of_the_things_and_lines_that_are_asked_for():
    ids = Corpus(LISTS).batch(0).ids
    things = [IDS[word] for word in ("apple", "bell", "bird", "boat", "book", "bridge")]
    lines = (ids == IDS["\n"]).sum(axis=1) - 1
    assert (lines == 3).all()
    named = set(ids.ravel().tolist()) & set(range(IDS["apple"], IDS["wheel"] + 1))
    assert named == set(things)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"list_lines": (2, 7)}, "give 1 to 6"),
        ({"list_lines": ()}, "give 1 to 6"),
        ({"listed": 5}, "from 5 things; give 6 to 40"),
        ({"listed": 41}, "from 41 things; give 6 to 40"),
    ],
)
def test_lists_that_cannot_be_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        CorpusRecipe(**changed)
