"""Positions by the names of a prompt's parts."""

import numpy as np
import pytest

from mcq_jax.prompts import Span, TokenisedPrompt, span_positions


def _prompt(shift: int = 0, *, question_tokens: int = 2) -> TokenisedPrompt:
    def span(kind: str, start: int, end: int, option: int = -1) -> Span:
        return Span(kind=kind, option=option, start=start + shift, end=end + shift)

    spans = (
        span("question", 4 - question_tokens, 4),
        span("label", 4, 5, 0),
        span("option", 5, 7, 0),
        span("label", 7, 8, 1),
        span("option", 8, 10, 1),
    )
    return TokenisedPrompt(
        ids=np.zeros(12 + shift, np.int32),
        spans=spans,
        label_positions=np.array([4, 7]) + shift,
        label_ids=np.array([1, 2]),
        answer_ids=np.array([1, 2]),
        gold=1,
        question=f"q{shift}",
    )


PROMPTS = [_prompt(), _prompt(3)]


def _expect(found, expected):
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int32


def test_a_span_of_one_option():
    _expect(span_positions(PROMPTS, "label", 1), [[7], [10]])
    _expect(span_positions(PROMPTS, "option", 0), [[5, 6], [8, 9]])


def test_the_spans_of_all_options_in_order():
    _expect(span_positions(PROMPTS, "label"), [[4, 7], [7, 10]])


def test_an_option_for_each_prompt():
    _expect(span_positions(PROMPTS, "label", [1, 0]), [[7], [7]])


def test_first_and_last_tokens():
    _expect(span_positions(PROMPTS, "question", part="first"), [[2], [5]])
    _expect(span_positions(PROMPTS, "option", part="last"), [[6, 9], [9, 12]])


@pytest.mark.parametrize(
    ("prompts", "arguments", "message"),
    [
        (PROMPTS, ("cue",), r"'q0' has no span 'cue'; its spans are \['label'"),
        (PROMPTS, ("label", 2), "no span 'label' of option 2"),
        (PROMPTS, ("label", [1]), "1 options for 2 prompts"),
        (
            [_prompt(), _prompt(question_tokens=1)],
            ("question",),
            r"spans 'question' of \[1, 2\] tokens .* part='first' or 'last'",
        ),
    ],
)
def test_what_cannot_be_found_is_refused(prompts, arguments, message: str):
    with pytest.raises(ValueError, match=message):
        span_positions(prompts, *arguments)
