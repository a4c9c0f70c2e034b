"""`PromptOptions`: which questions are asked, and in which words."""

import dataclasses
import datetime
from typing import Any

from mcq_jax.checked_calls import CheckedOptions
from mcq_jax.planted.channels import LETTERS
from mcq_jax.prompts import mutations_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptOptions(CheckedOptions):
    """One set of prompts; a run may have several of them, on the same model."""

    # What experiments call these prompts.
    name: str = "main"
    # word_copy, copy_colour, category_member, a JSONL file, MMLU's CSV file or folder;
    # "planted" or "learned" for such a model's own questions. A JSONL file of pairs if
    # `are_pairs`.
    questions: str
    # Whether `questions` are pairs of a clean and a source prompt; "word_repetition"
    # makes some that are not multiple choice.
    are_pairs: bool = False
    # How many questions, drawn evenly over subjects, or pairs; None: all.
    question_count: int | None = None
    # Only questions on these subjects, as files name them; none: all.
    subjects: tuple[str, ...] = ()
    # Questions with a longer prompt, in tokens, are left out and counted; None: the
    # model's context.
    longest_prompt: int | None = None
    # Draws questions, the order of a file's, sources, splits, random sets, resamples.
    seed: int = 0

    # paper, plain_paren or harness; corpus for models trained on our corpus.
    template: str = "plain_paren"
    # Labels of the options; A, B, C, … where left out.
    labels: tuple[str, ...] | None = None
    # How the question is asked otherwise: mutations by name, `+` between them, such as
    # "random_letters + permuted"; see docs/semantics.md.
    mutation: str = "none"
    # Worked examples per prompt.
    shots: int = 0
    # Where worked examples come from; the questions' own source where left out.
    shots_from: str | None = None
    # Whether prompts stand inside the checkpoint's chat template.
    inside_chat_template: bool = False
    # The date (2026-11-26) or moment (2026-11-26T13:00) of chat templates that write
    # today's; where left out that of the run's beginning, also when it resumes.
    moment: str | None = None
    # Ask every question with the right option in each place.
    all_rotations: bool = True
    # Options per question of a planted model, 2 to 10.
    planted_choices: int = 4

    def __post_init__(self):
        if not 2 <= self.planted_choices <= LETTERS:
            raise ValueError(
                f"planted_choices is {self.planted_choices}; a planted model has 2 to "
                f"{LETTERS} options."
            )
        mutations_of(self.mutation)  # whether there are such
        if self.mutation != "none" and (self.are_pairs or self.shots):
            raise ValueError(
                f"the prompts {self.name!r} have the mutation {self.mutation!r} and "
                "are pairs or have worked examples, whose labels would stay as they "
                "are; leave one of them out, or, of a card's other prompts, run only "
                "what does not read them (--only)."
            )
        check_at_least(self, 1, "question_count", "longest_prompt")
        check_at_least(self, 0, "shots")
        if self.moment is not None:
            read_moment(self.moment, "moment")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutated(CheckedOptions):
    """The run's main prompts, asked otherwise: the same questions, whichever they are.

    What is changed of the main prompts on the command line is changed here, too.
    """

    mutation: str
    # What experiments call these prompts; the mutation's name where left out.
    name: str = ""

    def __post_init__(self):
        mutations_of(self.mutation)
        if not self.name:
            object.__setattr__(self, "name", self.mutation)

    def of(self, main: PromptOptions) -> PromptOptions:
        """Returns these prompts' options."""
        said = {
            field.name: getattr(main, field.name)
            for field in dataclasses.fields(PromptOptions)
        }
        before = "" if main.mutation == "none" else f"{main.mutation} + "
        said |= dict(name=self.name, mutation=before + self.mutation)
        return PromptOptions(**said)


def read_moment(text: object, source: str) -> datetime.datetime:
    """Returns a date or a moment that is written as in ISO 8601."""
    try:
        return datetime.datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ValueError(
            f"{source} is {text!r}; give a date as 2026-11-26, or a moment as "
            "2026-11-26T13:00."
        ) from error


def check_at_least(options: Any, least: int, *names: str) -> None:
    """Refuses fields that are less; None, which is no limit, passes."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"{name} is {value}; give at least {least}.")
