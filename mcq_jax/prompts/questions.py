"""A multiple-choice question, apart from any wording around it.

Templates and labels belong to `rendering`; here are only the text, the options and
which of them is right.
"""

import dataclasses
import hashlib
import json


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One question with at least two options, exactly one of them right.

    Wrong options may repeat each other, as some published ones do (an MMLU few-shot
    item among them); none may repeat the right one, which would make two right.
    """

    # What is asked, without options.
    text: str
    # The options' contents, in the order shown, without labels.
    options: tuple[str, ...]
    # Index of the right option.
    gold: int
    # Stable name, shared by all rotations; left out, it is a hash of the content.
    id: str = ""
    # Topic, used by prefixes and for splits; empty where there is none.
    subject: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        _check(self)
        if not self.id:
            object.__setattr__(self, "id", _content_hash(self))


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
    name = f"question {question.id or question.text[:60]!r}"
    count = len(question.options)
    if not question.text.strip():
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
    for index, option in enumerate(question.options):
        if not option.strip():
            raise ValueError(f"Option {index} of {name} is empty; give it a text.")
        if index != question.gold and option == question.options[question.gold]:
            raise ValueError(
                f"Option {index} of {name} is the same as the right one, {option!r}; "
                "give a wrong option another text, or leave the question out."
            )


def _content_hash(question: Question) -> str:
    content = [question.subject, question.text, question.options, question.gold]
    encoded = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(encoded).hexdigest()[:12]
