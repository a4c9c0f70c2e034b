"""A multiple-choice question, apart from any wording around it.

Templates and labels belong to `rendering`; here are only the text, the options and
which of them is right.
"""

import dataclasses
import functools
import hashlib
import json

from mcq_jax.prompts import identity


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One question with at least two options, exactly one of them right.

    Wrong options may repeat each other, as some published ones do (an MMLU few-shot
    item among them); none may say the same as the right one (`identity.normalised`),
    which would make two right.
    """

    # What is asked, without options.
    text: str
    # The options' contents, in the order shown, without labels.
    options: tuple[str, ...]
    # Index of the right option.
    gold: int
    # Name for people and tables, shared by all rotations; left out, it is a hash of
    # all that stands here. Whether two questions are the same says `content_id`.
    id: str = ""
    # Topic, used by prefixes and for splits; empty where there is none.
    subject: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        _check(self)
        if not self.id:
            object.__setattr__(self, "id", _default_id(self))

    @functools.cached_property
    def content_id(self) -> str:
        """The same for the same question, whatever its id, subject and option order."""
        return identity.content_id(self.text, self.options, self.options[self.gold])


def rotations(question: Question) -> tuple[Question, ...]:
    """Returns the n cyclic shifts of the options: the gold once in each position.

    Shift k shows `options[(i - k) % n]` at position i, so the options keep their cyclic
    order. Shift 0 comes first, and all shifts keep the question's id.
    """
    count = len(question.options)
    return tuple(
        dataclasses.replace(
            question,
            options=tuple(question.options[(i - shift) % count] for i in range(count)),
            gold=(question.gold + shift) % count,
        )
        for shift in range(count)
    )


def _check(question: Question) -> None:
    for what, text in (
        ("the id", question.id),
        ("the subject", question.subject),
        ("the question", question.text),
        *((f"option {i}", option) for i, option in enumerate(question.options)),
    ):
        identity.require_characters(text, what)
    name = f"question {question.id or question.text[:60]!r}"
    count = len(question.options)
    if not identity.normalised(question.text):
        raise ValueError(
            f"The text of {name} is empty; a question needs words before its options."
        )
    if count < 2:
        raise ValueError(f"{count} options in {name}; give at least two.")
    if not 0 <= question.gold < count:
        raise ValueError(
            f"Right option {question.gold} in {name}, which has {count} options; "
            f"give an index from 0 to {count - 1}."
        )
    shown = [identity.normalised(option) for option in question.options]
    for index, option in enumerate(question.options):
        if not shown[index]:
            raise ValueError(f"Option {index} of {name} is empty; give it a text.")
        if index != question.gold and shown[index] == shown[question.gold]:
            raise ValueError(
                f"Option {index} of {name}, {option!r}, says the same as the right "
                f"one, {question.options[question.gold]!r}; give a wrong option "
                "another text, or leave the question out."
            )


def _default_id(question: Question) -> str:
    content = [question.subject, question.text, question.options, question.gold]
    encoded = json.dumps(content, ensure_ascii=False).encode()
    return hashlib.sha256(encoded).hexdigest()[:12]
