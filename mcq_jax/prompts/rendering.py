"""A question becomes the text of a prompt, with a span for each of its parts.

A template is data: the strings between the parts. Spans come from putting the parts
together, never from searching the text, so options may repeat each other or look like
labels. What becomes of the characters is told by `tokens`.
"""

import dataclasses
import string
from collections.abc import Mapping, Sequence

from mcq_jax.prompts import chat as chats
from mcq_jax.prompts import questions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """A named stretch of a prompt: characters here, token positions in `tokens`."""

    # prefix, shots, question, label, option, line_end, neutral (a line that is no
    # option) or cue; pairs may name their own.
    kind: str
    # Which option a label, option or line_end belongs to; -1 for the others.
    option: int = -1
    # [start, end)
    start: int
    end: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
    """The strings around a question's parts.

    A prompt is prefix · shots · question · one line per option · cue; the options come
    first if `options_first`. A line is `before_label` label `after_label` option
    `line_end`.
    """

    name: str
    # First words; "{subject}" stands for the subject, underscores shown as spaces.
    prefix: str
    # First words for a question that has no subject.
    prefix_without_subject: str
    # Between the question and what follows it, its first option as a rule.
    after_question: str = "\n"
    before_label: str
    after_label: str
    # Ends each option's line, the last one included.
    line_end: str = "\n"
    # Asks for the answer; its last token is where the answer is read off.
    cue: str
    # Asks for the answer's text, where no options are shown.
    content_cue: str = "Answer:"
    # Between cue and answer: part of what is predicted (" A" where this is a space).
    before_answer: str = ""
    # After the answer of a worked example.
    after_answer: str = ""
    # Between a worked example and what follows it.
    after_shot: str = "\n\n"
    # Whether white space around the question is dropped.
    strips_question: bool = False
    # Whether the options stand before the question.
    options_first: bool = False
    # Whether the question itself is shown; without it, options alone can be preferred.
    shows_question: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class RenderedPrompt:
    """A prompt's text, up to and including the answer cue."""

    text: str
    # Character spans in order of their start; empty parts have none.
    spans: tuple[Span, ...]
    # Text of each option's label, line by line.
    labels: tuple[str, ...]
    # All prompts' labels in their own order; lines may show them in another.
    alphabet: tuple[str, ...]
    # What the model would say next to choose each option.
    answers: tuple[str, ...]
    # Index of the right option.
    gold: int
    # On which line each option stands, lines that are no option counted.
    places: tuple[int, ...]
    # Which options are right: those that say what the gold one says.
    right: tuple[bool, ...]
    # Id of the question, and what tells it from others (`Question.content_id`).
    question: str
    content_id: str
    # Which rotation of the question's options this is.
    rotation: int = 0
    subject: str = ""
    # Whether the tokenizer still has to add BOS; a chat template writes its own.
    adds_special: bool = True


PAPER = Template(
    name="paper",
    prefix=(
        "A highly knowledgeable and intelligent AI answers multiple-choice questions "
        "about {subject}.\n\n"
    ),
    prefix_without_subject=(
        "A highly knowledgeable and intelligent AI answers multiple-choice questions."
        "\n\n"
    ),
    before_label="(",
    after_label=") ",
    cue="Answer: (",
    after_answer=")",
)

# Label and answer are the same token on common tokenizers: the default.
PLAIN_PAREN = Template(
    name="plain_paren",
    prefix="",
    prefix_without_subject="",
    before_label="",
    after_label=") ",
    cue="Answer: (",
    after_answer=")",
)

# MMLU as the language-model evaluation harness words it, byte for byte.
HARNESS = Template(
    name="harness",
    prefix=(
        "The following are multiple choice questions (with answers) about {subject}."
        "\n\n"
    ),
    prefix_without_subject=(
        "The following are multiple choice questions (with answers).\n\n"
    ),
    before_label="",
    after_label=". ",
    cue="Answer:",
    before_answer=" ",
    strips_question=True,
)

TEMPLATES: Mapping[str, Template] = {t.name: t for t in (PAPER, PLAIN_PAREN, HARNESS)}


def render(
    question: questions.Question,
    template: Template = PLAIN_PAREN,
    *,
    labels: Sequence[str] | None = None,
    alphabet: Sequence[str] | None = None,
    shots: Sequence[questions.Question] = (),
    rotation: int = 0,
    chat: chats.ChatTemplate | None = None,
    neutral_lines: Sequence[tuple[int, str]] = (),
    repeated_labels: bool = False,
) -> RenderedPrompt:
    """Returns the prompt for one question.

    Args:
      labels: one per option, line by line; A, B, C, ... where left out.
      alphabet: the labels of all prompts in their own order, among them these; these
        where left out. With the labels C, A, B and the alphabet A, B, C the right
        option may have place 0 and letter 2.
      shots: worked examples, shown in this order with the same labels; never the
        question itself.
      rotation: recorded only; which of `questions.rotations` the question is.
      chat: puts all but the cue into the user's message and starts the assistant's
        reply with the cue.
      neutral_lines: lines without label, each with the index of the option that it
        stands before (their number, to stand behind the last).
      repeated_labels: whether several options may have one label, which is then right
        for all of them: gold is a set.
    """
    labels = _labels_for(question, labels, repeated_labels)
    _check_neutral(question, neutral_lines)
    alphabet = _alphabet_for(question, labels, alphabet)
    _require_others(question, shots)
    pieces = [
        _Piece("prefix", _prefix(template, question.subject)),
        _Piece("shots", "".join(_shot(shot, template, labels) for shot in shots)),
        *_body(question, template, labels, neutral_lines),
    ]
    cue = _Piece("cue", template.cue)
    pieces = [*pieces, cue] if chat is None else _in_chat(pieces, cue, chat)
    text, spans = _join(pieces)
    return RenderedPrompt(
        text=text,
        spans=spans,
        labels=labels,
        alphabet=alphabet,
        answers=tuple(template.before_answer + label for label in labels),
        gold=question.gold,
        places=tuple(
            index + sum(before <= index for before, _ in neutral_lines)
            for index in range(len(labels))
        ),
        right=_right(question, labels),
        question=question.id,
        content_id=question.content_id,
        rotation=rotation,
        subject=question.subject,
        adds_special=chat is None,
    )


def render_rotations(
    question: questions.Question,
    template: Template = PLAIN_PAREN,
    *,
    labels: Sequence[str] | None = None,
    alphabet: Sequence[str] | None = None,
    shots: Sequence[questions.Question] = (),
    chat: chats.ChatTemplate | None = None,
) -> tuple[RenderedPrompt, ...]:
    """Returns one prompt for each cyclic shift of the options; labels stay in place."""
    how = {"labels": labels, "alphabet": alphabet, "shots": shots, "chat": chat}
    return tuple(
        render(rotated, template, rotation=shift, **how)
        for shift, rotated in enumerate(questions.rotations(question))
    )


@dataclasses.dataclass(frozen=True)
class _Piece:
    # Empty: these characters belong to no span.
    kind: str
    text: str
    option: int = -1


def _body(
    question: questions.Question,
    template: Template,
    labels: Sequence[str],
    neutral_lines: Sequence[tuple[int, str]] = (),
) -> list[_Piece]:
    text = question.text.strip() if template.strips_question else question.text
    asked = [_Piece("question", text), _Piece("", template.after_question)]
    asked = asked if template.shows_question else []
    lines = _lines(question, template, labels, neutral_lines)
    return [*lines, *asked] if template.options_first else [*asked, *lines]


def _lines(
    question: questions.Question,
    template: Template,
    labels: Sequence[str],
    neutral_lines: Sequence[tuple[int, str]],
) -> list[_Piece]:
    pieces = []

    def add_neutral(here: int) -> None:
        for text in (text for before, text in neutral_lines if before == here):
            pieces.extend([_Piece("neutral", text), _Piece("", template.line_end)])

    for index, option in enumerate(question.options):
        add_neutral(index)
        pieces += [
            _Piece("", template.before_label),
            _Piece("label", labels[index], index),
            _Piece("", template.after_label),
            _Piece("option", option, index),
            _Piece("line_end", template.line_end, index),
        ]
    add_neutral(len(question.options))
    return pieces


def _right(question: questions.Question, labels: Sequence[str]) -> tuple[bool, ...]:
    """Which options are right: those that the label of a right one chooses."""
    said = {labels[index] for index in question.right}
    if said == set(labels):
        raise ValueError(
            f"Every label of question {question.id!r}, {list(labels)}, is right, so "
            "no answer could be wrong; give a wrong option a label of its own."
        )
    return tuple(label in said for label in labels)


def _shot(shot: questions.Question, template: Template, labels: Sequence[str]) -> str:
    labels = labels[: len(shot.options)]
    if len(labels) < len(shot.options):
        raise ValueError(
            f"{len(labels)} answer labels for {len(shot.options)} options in worked "
            f"example {shot.id!r}; use examples with no more options than the question."
        )
    body = "".join(piece.text for piece in _body(shot, template, labels))
    answer = template.before_answer + labels[shot.gold] + template.after_answer
    return body + template.cue + answer + template.after_shot


def _prefix(template: Template, subject: str) -> str:
    if not subject:
        return template.prefix_without_subject
    return template.prefix.replace("{subject}", subject.replace("_", " "))


def _labels_for(
    question: questions.Question, labels: Sequence[str] | None, repeated: bool
) -> tuple[str, ...]:
    count = len(question.options)
    if labels is None:
        labels = string.ascii_uppercase[:count]
    labels = tuple(labels)
    if len(labels) != count:
        raise ValueError(
            f"{len(labels)} answer labels for {count} options in question "
            f"{question.id!r}; give one label per option."
        )
    is_new = repeated or len(set(labels)) == count
    if not is_new or not all(label.strip() for label in labels):
        raise ValueError(
            f"Answer labels {labels} for question {question.id!r}; give labels that "
            "are not empty and all different."
        )
    return labels


def _alphabet_for(
    question: questions.Question,
    labels: tuple[str, ...],
    alphabet: Sequence[str] | None,
) -> tuple[str, ...]:
    alphabet = tuple(dict.fromkeys(labels) if alphabet is None else alphabet)
    if len(set(alphabet)) != len(alphabet) or not set(labels) <= set(alphabet):
        raise ValueError(
            f"The alphabet {list(alphabet)} for the labels {list(labels)} of question "
            f"{question.id!r}; give each label once, those of the question among them."
        )
    return alphabet


def _check_neutral(
    question: questions.Question, neutral_lines: Sequence[tuple[int, str]]
) -> None:
    for before, text in neutral_lines:
        if not 0 <= before <= len(question.options) or not text.strip():
            raise ValueError(
                f"A neutral line {text!r} before option {before} of question "
                f"{question.id!r}; give words, and an index from 0 to "
                f"{len(question.options)} (behind the last option)."
            )


def _require_others(
    question: questions.Question, shots: Sequence[questions.Question]
) -> None:
    for shot in shots:
        if shot.content_id == question.content_id:
            raise ValueError(
                f"Worked example {shot.id!r} is question {question.id!r} itself and "
                "would tell the answer; leave it out (`shots_for` does)."
            )


def _in_chat(
    pieces: list[_Piece], cue: _Piece, chat: chats.ChatTemplate
) -> list[_Piece]:
    """Returns the pieces with the chat's own text around the user's message.

    Many chat templates trim messages, so the message is trimmed here: it ends with the
    last option's text, and the chat's first character after that takes the place of
    that option's line end (often the start of an end-of-turn token).
    """
    *pieces, last = [piece for piece in pieces if piece.text]
    if last.text.strip():
        pieces, last = [*pieces, last], _Piece("", "")
    pieces[0] = dataclasses.replace(pieces[0], text=pieces[0].text.lstrip())
    pieces[-1] = dataclasses.replace(pieces[-1], text=pieces[-1].text.rstrip())
    before, after = chat.around("".join(piece.text for piece in pieces))
    return [
        _Piece("", before),
        *pieces,
        # Takes the place of whatever the message ended with.
        _Piece(last.kind, after[:1], last.option),
        _Piece("", after[1:]),
        cue,
    ]


def _join(pieces: Sequence[_Piece]) -> tuple[str, tuple[Span, ...]]:
    spans, end = [], 0
    for piece in pieces:
        start, end = end, end + len(piece.text)
        if piece.kind and piece.text:
            spans.append(
                Span(kind=piece.kind, option=piece.option, start=start, end=end)
            )
    return "".join(piece.text for piece in pieces), tuple(spans)
