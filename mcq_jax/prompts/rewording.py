"""Other words around the same labels, and other options under the same question.

Each function returns a wording, or several. Whatever becomes of a question, its other
forms have its id and its content id: they are one question to splits and intervals.
"""

import dataclasses
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcq_jax.prompts import questions, rendering
from mcq_jax.prompts.wording import Wording

NEUTRAL_LINE = "Please read on."
NONE_OF_THEM = "None of the above"
_CUE_WORDS = "Answer:"


def with_template(wording: Wording, **fields: Any) -> Wording:
    """Returns the wording with some fields of its template replaced."""
    template = dataclasses.replace(wording.template, **fields)
    if template == wording.template:
        raise ValueError(
            f"The template {template.name!r} of question {wording.question.id!r} has "
            f"{fields} already; leave this mutation out."
        )
    return dataclasses.replace(wording, template=template)


def with_prelude(wording: Wording) -> Wording:
    """Returns the wording with the paper's first sentence in front."""
    paper = rendering.PAPER
    return with_template(
        wording,
        prefix=paper.prefix,
        prefix_without_subject=paper.prefix_without_subject,
    )


def without_prelude(wording: Wording) -> Wording:
    """Returns the wording without a first sentence."""
    return with_template(wording, prefix="", prefix_without_subject="")


def with_cue_words(wording: Wording, words: str) -> Wording:
    """Returns the wording that asks for the answer by `words` in place of "Answer:"."""
    cue = wording.template.cue
    if not cue.startswith(_CUE_WORDS):
        raise ValueError(
            f"The cue {cue!r} of template {wording.template.name!r} does not begin "
            f"with {_CUE_WORDS!r}; give a cue of your own by `with_template`."
        )
    return with_template(wording, cue=words + cue.removeprefix(_CUE_WORDS))


def neutral_line(
    wording: Wording, random: np.random.Generator, *, text: str = NEUTRAL_LINE
) -> Wording:
    """Returns the wording with a line that is no option before a drawn option."""
    return _with_neutral(wording, int(random.integers(wording.choices)), text)


def neutral_line_everywhere(
    wording: Wording, *, text: str = NEUTRAL_LINE
) -> tuple[Wording, ...]:
    """Returns one wording for each option, with the line before it.

    Lines before an option are right, wrong or neutral: only where neutral ones vary
    are its place and the number of wrong options before it two things.
    """
    return tuple(_with_neutral(wording, i, text) for i in range(wording.choices))


def rotations(wording: Wording) -> tuple[Wording, ...]:
    """Returns the n cyclic shifts of the options; labels stay on their lines."""
    return tuple(
        dataclasses.replace(
            wording,
            question=rotated,
            rotation=(wording.rotation + shift) % wording.choices,
        )
        for shift, rotated in enumerate(questions.rotations(wording.question))
    )


def keep_options(wording: Wording, random: np.random.Generator, *, count: int):
    """Returns the wording with `count` options: the right ones and drawn wrong ones.

    They keep their order, and have the first `count` labels.
    """
    question = wording.question
    wrong = [i for i in range(wording.choices) if i not in question.right]
    left = count - len(question.right)
    if not 1 <= left < len(wrong):
        raise ValueError(
            f"{count} options of the {wording.choices} of question {question.id!r}, "
            f"{len(question.right)} of them right; ask for fewer than there are, a "
            "wrong one among them."
        )
    drawn = [wrong[index] for index in random.permutation(len(wrong))[:left]]
    kept = sorted([*question.right, *drawn])
    changed = _other_form(
        question,
        options=tuple(question.options[index] for index in kept),
        gold=kept.index(question.gold),
        also_right=tuple(kept.index(index) for index in question.also_right),
    )
    return _with_options(wording, changed)


def two_right_options(wording: Wording, random: np.random.Generator) -> Wording:
    """Returns the wording with a second right text in place of a drawn wrong one."""
    question = wording.question
    wrong = [i for i in range(wording.choices) if i not in question.right]
    if not question.spare_right or len(wrong) < 2:
        raise ValueError(
            f"Question {question.id!r} has {len(question.spare_right)} spare right "
            f"texts and {len(wrong)} wrong options; give `spare_right`, as "
            "`category_member` does, and at least two wrong options."
        )
    place = wrong[random.integers(len(wrong))]
    options = list(question.options)
    options[place] = question.spare_right[0]
    changed = _other_form(
        question,
        options=tuple(options),
        also_right=(*question.also_right, place),
        spare_right=question.spare_right[1:],
    )
    return dataclasses.replace(wording, question=changed)


def with_none_of_them(wording: Wording) -> Wording:
    """Returns the wording with "None of the above" as one more, wrong option."""
    options = (*wording.question.options, NONE_OF_THEM)
    return _with_options(wording, _other_form(wording.question, options=options))


def none_is_right(wording: Wording) -> Wording:
    """Returns the wording with "None of the above" last, and without the right text."""
    question = wording.question
    if question.also_right:
        raise ValueError(
            f"Question {question.id!r} has {len(question.right)} right options; "
            '"None of the above" takes the place of one.'
        )
    others = [o for i, o in enumerate(question.options) if i != question.gold]
    changed = _other_form(
        question, options=(*others, NONE_OF_THEM), gold=len(others), spare_right=()
    )
    return _with_options(wording, changed)


def _with_neutral(wording: Wording, before: int, text: str) -> Wording:
    lines = (*wording.neutral_lines, (before, text))
    return dataclasses.replace(wording, neutral_lines=lines)


def _with_options(wording: Wording, question: questions.Question) -> Wording:
    """The wording with other options, and the first labels of its alphabet."""
    if wording.labels != wording.alphabet or wording.neutral_lines:
        raise ValueError(
            f"Question {question.id!r} gets other options under labels "
            f"{list(wording.labels)}; change options first, then labels and lines."
        )
    labels = _first_labels(wording.alphabet, len(question.options))
    return dataclasses.replace(
        wording, question=question, labels=labels, alphabet=labels
    )


def _first_labels(alphabet: Sequence[str], count: int) -> tuple[str, ...]:
    longer = tuple(string.ascii_uppercase)
    if count <= len(alphabet):
        return tuple(alphabet[:count])
    if longer[: len(alphabet)] != tuple(alphabet):
        raise ValueError(
            f"{count} options, but labels {list(alphabet)}; change options first, then "
            "labels."
        )
    return longer[:count]


def _other_form(question: questions.Question, **fields: Any) -> questions.Question:
    return dataclasses.replace(question, form_of=question.content_id, **fields)
