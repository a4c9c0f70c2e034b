"""`Wording`: a question with all that decides how it is put, as one value.

What `rendering.render` takes, but for worked examples and chat, which a run decides.
Mutations are functions from a wording to wordings.
"""

import dataclasses
import string
from collections.abc import Sequence

from mcq_jax.prompts import chat as chats
from mcq_jax.prompts import questions, rendering


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wording:
    """One question as it will be asked."""

    question: questions.Question
    template: rendering.Template = rendering.PLAIN_PAREN
    # One per option, line by line; left out, A, B, C, …
    labels: tuple[str, ...] = ()
    # The labels of all prompts in their own order; left out, these.
    alphabet: tuple[str, ...] = ()
    # Lines that are no option, each with the index of the option behind it.
    neutral_lines: tuple[tuple[int, str], ...] = ()
    # Which of the cyclic shifts of the options this is.
    rotation: int = 0

    def __post_init__(self) -> None:
        labels = tuple(self.labels or string.ascii_uppercase[: self.choices])
        alphabet = tuple(self.alphabet or dict.fromkeys(labels))
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "alphabet", alphabet)

    @property
    def choices(self) -> int:
        """How many options the question has."""
        return len(self.question.options)

    @property
    def repeats_labels(self) -> bool:
        """Whether two options have one label."""
        return len(set(self.labels)) < len(self.labels)


def render_wording(
    wording: Wording,
    *,
    shots: Sequence[questions.Question] = (),
    chat: chats.ChatTemplate | None = None,
) -> rendering.RenderedPrompt:
    """Returns the prompt of a wording; `shots` and `chat` are those of `render`."""
    return rendering.render(
        wording.question,
        wording.template,
        labels=wording.labels,
        alphabet=wording.alphabet,
        shots=shots,
        rotation=wording.rotation,
        chat=chat,
        neutral_lines=wording.neutral_lines,
        repeated_labels=wording.repeats_labels,
    )
