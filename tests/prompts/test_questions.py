import dataclasses

import pytest

from mcq_jax import prompts

QUESTION = prompts.Question(text="Which?", options=("a", "b", "c"), gold=1)


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_rotations_put_the_right_option_in_each_position_once(count):
    options = tuple(f"option {i}" for i in range(count))
    question = prompts.Question(text="Which?", options=options, gold=1)
    turned = prompts.rotations(question)
    assert turned[0] == question
    assert sorted(q.gold for q in turned) == list(range(count))
    assert all(q.options[q.gold] == "option 1" for q in turned)
    assert all(sorted(q.options) == sorted(options) for q in turned)
    for position in range(count):
        assert {q.options[position] for q in turned} == set(options)


def test_a_rotation_by_one_moves_every_option_down_by_one():
    turned = prompts.rotations(QUESTION)[1]
    assert turned.options == ("c", "a", "b")
    assert turned.gold == 2


def test_rotations_share_the_question_id():
    assert {q.id for q in prompts.rotations(QUESTION)} == {QUESTION.id}


def test_ids_depend_on_the_content_and_on_nothing_else():
    same = prompts.Question(text="Which?", options=("a", "b", "c"), gold=1)
    assert same.id == QUESTION.id
    for change in (
        {"text": "What?"},
        {"options": ("a", "b", "d")},
        {"gold": 2},
        {"subject": "maths"},
    ):
        assert dataclasses.replace(QUESTION, id="", **change).id != QUESTION.id


def test_a_given_id_is_kept():
    named = dataclasses.replace(QUESTION, id="mine")
    assert named.id == "mine"


def test_the_content_is_known_whatever_id_subject_and_order():
    for change in (
        {"id": "other", "subject": "law"},
        {"options": ("b", "c", "a"), "gold": 0},
        {"text": " Which?\n"},
    ):
        same = dataclasses.replace(QUESTION, **change)
        assert same.content_id == QUESTION.content_id
    turned = prompts.rotations(QUESTION)
    assert {q.content_id for q in turned} == {QUESTION.content_id}


@pytest.mark.parametrize(
    "change",
    [
        {"text": "which?"},
        {"options": ("a", "b", "d")},
        {"options": ("a", "b", "c", "c")},
        {"options": ("b", "a", "c")},  # the same options, but another one is right
    ],
)
def test_another_text_option_or_right_option_is_another_question(change):
    other = dataclasses.replace(QUESTION, **change)
    assert other.content_id != QUESTION.content_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": ("a",), "gold": 0}, "1 options .* at least two"),
        ({"gold": 3}, "Right option 3 .* from 0 to 2"),
        ({"gold": -1}, "Right option -1"),
        ({"options": ("a", "b", " ")}, "Option 2 .* is empty"),
        (
            {"options": ("a", "b", "b")},
            "Option 2 .* says the same as the right one, 'b'",
        ),
        ({"options": ("a", "b", "b ")}, "Option 2 .*, 'b ', says the same"),
        ({"text": "a\ud800b"}, "Character 1 of the question is half a char"),
        ({"id": "\udfff"}, "of the id is half a character .*dfff"),
        ({"text": "\u200b \xa0"}, "text of question .* is empty"),
        ({"text": " "}, "text of question .* is empty"),
    ],
)
def test_bad_questions_are_refused_with_what_to_do(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(QUESTION, **change)


def test_wrong_options_may_repeat_each_other():
    question = prompts.Question(text="Which?", options=("a", "b", "a"), gold=1)
    assert question.options == ("a", "b", "a")
