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
    """One question with at least two options, one of them right unless it says so.

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
    # Indices of further right options, with texts of their own.
    also_right: tuple[int, ...] = ()
    # Texts that would be right too but are not shown, for `mutations` to show.
    spare_right: tuple[str, ...] = ()
    # Name for people and tables, shared by all rotations; left out, it is a hash of
    # all that stands here. Whether two questions are the same says `content_id`.
    id: str = ""
    # Topic, used by prefixes and for splits; empty where there is none.
    subject: str = ""
    # The content id of the question that this is another form of, with fewer options,
    # say; left out, it is a question of its own.
    form_of: str = ""

    def __post_init__(self) -> None:
        for name in ("options", "also_right", "spare_right"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check(self)
        if not self.id:
            object.__setattr__(self, "id", _default_id(self))

    @property
    def right(self) -> tuple[int, ...]:
        """Indices of all right options, `gold` among them."""
        return tuple(sorted({self.gold, *self.also_right}))

    @functools.cached_property
    def content_id(self) -> str:
        """The same for the same question, whatever its id, subject and option order.

        Other forms of a question have its content id, so that no split parts them.
        """
        right = (self.options[index] for index in self.right)
        return self.form_of or identity.content_id(self.text, self.options, *right)


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
            also_right=tuple((other + shift) % count for other in question.also_right),
        )
        for shift in range(count)
    )


def _check(question: Question) -> None:
    for what, text in (
        ("the id", question.id),
        ("the subject", question.subject),
        ("the question", question.text),
        *((f"option {i}", option) for i, option in enumerate(question.options)),
        *((f"spare {i}", spare) for i, spare in enumerate(question.spare_right)),
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
    if not set(question.also_right) <= set(range(count)) - {question.gold}:
        raise ValueError(
            f"Further right options {list(question.also_right)} in {name}, which has "
            f"{count} options, {question.gold} the right one; give indices of others."
        )
    shown = [identity.normalised(option) for option in question.options]
    for index, option in enumerate(question.options):
        if not shown[index]:
            raise ValueError(f"Option {index} of {name} is empty; give it a text.")
        for right in question.right:
            if index != right and shown[index] == shown[right]:
                raise ValueError(
                    f"Option {index} of {name}, {option!r}, says the same as the right "
                    f"one, {question.options[right]!r}; give a wrong option "
                    "another text, or leave the question out."
                )
    for spare in map(identity.normalised, question.spare_right):
        if not spare or spare in shown:
            raise ValueError(
                f"The spare right text {spare!r} of {name} is empty or one of its "
                "options; give a right text that is not shown."
            )


def _default_id(question: Question) -> str:
    content = [question.subject, question.text, question.options, question.gold]
    encoded = json.dumps(content, ensure_ascii=False).encode()
    return hashlib.sha256(encoded).hexdigest()[:12]
