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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": ("a",), "gold": 0}, "1 options .* at least two"),
        ({"gold": 3}, "Right option 3 .* from 0 to 2"),
        ({"gold": -1}, "Right option -1"),
        ({"options": ("a", "b", " ")}, "Option 2 .* is empty"),
        ({"options": ("a", "b", "b")}, "Option 2 .* same as the right one, 'b'"),
        ({"text": " "}, "text of question .* is empty"),
    ],
)
def test_bad_questions_are_refused_with_what_to_do(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(QUESTION, **change)


def test_wrong_options_may_repeat_each_other():
    question = prompts.Question(text="Which?", options=("a", "b", "a"), gold=1)
    assert question.options == ("a", "b", "a")


SAME = {
    "a trailing space": ("yellow", "yellow "),
    "another kind of space": ("dark green", "dark\u00a0 green"),
    "composed and not": ("caf\u00e9", "cafe\u0301"),
    "full width": ("ABC", "\uff21\uff22\uff23"),
    "a soft hyphen": ("zero", "ze\u00adro"),
}


@pytest.mark.parametrize("name", SAME)
def test_a_wrong_option_that_says_the_same_as_the_right_one_is_refused(name: str):
    right, wrong = SAME[name]
    with pytest.raises(ValueError, match="says the same as the right one"):
        prompts.Question(text="Which?", options=(right, wrong, "other"), gold=0)


def test_what_differs_to_a_reader_may_stand_side_by_side():
    for options in (("10²", "102"), ("Aa", "aa"), ("1", "-1")):
        assert (
            prompts.Question(text="Which?", options=options, gold=0).options == options
        )


def test_half_a_character_is_refused_by_its_place():
    with pytest.raises(ValueError, match="Character 3 of the question is half a char"):
        prompts.Question(text="abc\ud800", options=("a", "b"), gold=0)


def test_place_and_letter_of_the_right_option_are_two_things():
    from mcq_jax import planted
    from mcq_jax.planted import asking
    from mcq_jax.prompts import render, tokenise

    question = planted.generate_questions(1, choices=4, seed=0)[0]
    shown = ("C", "A", "D", "B")
    rendered = render(question, planted.TEMPLATE, labels=shown, alphabet="ABCD")
    prompt = tokenise(rendered, asking.tokenizer())
    assert prompt.gold_place == question.gold
    assert "ABCD"[prompt.gold_letter] == shown[question.gold]
    assert prompt.right.tolist() == [i == question.gold for i in range(4)]
    assert prompt.content_id == question.content_id
    with pytest.raises(ValueError, match="give each label once"):
        render(question, planted.TEMPLATE, labels=shown, alphabet="ABC")
