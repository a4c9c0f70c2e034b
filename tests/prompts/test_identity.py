import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mcq_jax import prompts
from mcq_jax.prompts import identity


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("687", "687 "),
        ("a  b", "a\u00a0b"),
        ("a b", "\ta\n b\u2003"),
        ("caf\u00e9", "cafe\u0301"),
        ("\ufb01sh", "fish"),
        ("\uff21\uff22", "AB"),
        ("zero\u200bwidth", "zerowidth"),
        ("5 \u00b5m", "5 \u03bcm"),
    ],
)
def test_texts_that_look_alike_are_the_same(left, right):
    assert identity.normalised(left) == identity.normalised(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Aa", "AA"),
        ("10\u00b2", "102"),
        ("H\u2082", "H2"),
        ("1\u00bd", "11\u20442"),
        ("\u211d", "R"),
        ("a b", "ab"),
        ("x", "x."),
    ],
)
def test_texts_that_a_reader_tells_apart_stay_apart(left, right):
    assert identity.normalised(left) != identity.normalised(right)


@given(some.text())
def test_normalising_twice_is_normalising_once_and_the_same_for_equal_unicode(text):
    once = identity.normalised(text)
    assert identity.normalised(once) == once
    for form in ("NFC", "NFD"):
        assert identity.normalised(unicodedata.normalize(form, text)) == once


def asked(text, name="", subject="", options=("sky", "corn"), gold=1):
    question = prompts.Question(
        text=text, options=options, gold=gold, id=name, subject=subject
    )
    words = prompts.WordTokenizer("A B ) Answer : ( \n sky corn Which Who ?".split(" "))
    return prompts.tokenise(prompts.render(question), words)


def test_prompts_of_one_content_have_the_first_ones_name():
    names = prompts.question_names(
        [
            asked("Which ?", "first", "law"),
            asked("Who ?", "second"),
            asked("Which ?", "third", "medicine", ("corn", "sky"), 0),
        ]
    )
    assert names.tolist() == ["first", "second", "first"]


def test_one_id_for_two_questions_is_refused():
    with pytest.raises(ValueError, match="Two different questions have the id 'q'"):
        prompts.question_names([asked("Which ?", "q"), asked("Who ?", "q")])
    assert np.array_equal(prompts.question_names([asked("Who ?", "q")] * 2), ["q"] * 2)
