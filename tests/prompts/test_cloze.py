"""Cloze prompts: the question, and each option's text behind it."""

import numpy as np
import pytest

from mcq_jax import prompts
from mcq_jax.planted import asking
from mcq_jax.prompts import Question, rendering

WORDS = prompts.WordTokenizer(
    ("<bos>", "Who", "?", "\n", "Answer", ":", "a", "b", "c"), bos="<bos>"
)
QUESTION = Question(text="Who ?", options=("a", "b c", "c"), gold=1)


def test_options_follow_the_question_and_nothing_tells_of_them():
    made = prompts.cloze(QUESTION, WORDS)
    assert made.text == "Who ?\nAnswer:" and made.gold == 1
    assert made.content_id == QUESTION.content_id
    assert list(made.starts) == [6, 6, 6]  # <bos> Who ? \n Answer:
    scored = [WORDS.decode(list(ids[6:])) for ids in made.ids]
    assert scored == ["a", "b c", "c"]
    before = {tuple(ids[:6]) for ids in made.ids}
    assert len(before) == 1


def test_without_the_question_the_cue_is_left():
    made = prompts.cloze(QUESTION, WORDS, shows_question=False)
    assert made.text == "Answer:" and list(made.starts) == [3, 3, 3]


def test_rows_are_padded_side_by_side():
    made = prompts.cloze(QUESTION, WORDS)
    tokens, lengths, starts = prompts.cloze_rows([made, made])
    assert tokens.shape == (6, 8) and list(lengths) == [7, 8, 7, 7, 8, 7]
    assert list(starts) == [6] * 6
    np.testing.assert_array_equal(tokens[1], made.ids[1])


def test_templates_have_a_cue_of_their_own():
    [question] = asking.generate_questions(1, choices=3)
    made = prompts.cloze(question, asking.tokenizer(), asking.TEMPLATE)
    assert made.text.endswith("?\n:")
    for template in rendering.TEMPLATES.values():
        assert template.content_cue == "Answer:"


def test_a_seam_at_the_first_token_is_refused():
    bare = prompts.WordTokenizer(("Answer", ":", "a", "b"))
    question = Question(text="a", options=("a", "b"), gold=0)
    made = prompts.cloze(question, bare, shows_question=False)
    assert list(made.starts) == [2, 2]
    nothing = rendering.Template(
        name="bare", prefix="", prefix_without_subject="", before_label="",
        after_label=" ", cue="", content_cue="",
    )  # fmt: skip
    with pytest.raises(ValueError, match="begins with its option"):
        prompts.cloze(question, bare, nothing, shows_question=False)


def test_what_the_model_cannot_read_is_refused():
    prompts.cloze(QUESTION, WORDS, context=8)
    with pytest.raises(ValueError, match="8 tokens in cloze prompt .* at most 7"):
        prompts.cloze(QUESTION, WORDS, context=7)
