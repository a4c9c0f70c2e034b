"""Whether a model knows the answers' texts, beside whether it finds their letters."""

import dataclasses

from mcq_jax.metrics import Interval

SUM, MEAN, AGAINST, CONTROL = (
    "sum", "mean by token", "less the text alone", "without the question",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredBy:
    """One way to choose among an option's texts without showing options."""

    # One of the four above.
    by: str
    accuracy: Interval
    # Accuracy by letter, over all orders of the options, less this; by question.
    letter_less_this: Interval
    # Questions whose text is chosen rightly, whose letter in every order of the
    # options: both, the text alone, the letter alone, neither.
    both: int
    text_only: int
    letter_only: int
    neither: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClozeFindings:
    """Accuracies by the options' texts, of the questions of the main prompts."""

    scores: tuple[ScoredBy, ...]
    by_letter: Interval
    chance: float
    questions: int
    # What stands before the options of the first question.
    example: str

    @property
    def by_content(self) -> Interval:
        """Accuracy by the mean log-probability of a text's tokens, as is usual."""
        [found] = [one.accuracy for one in self.scores if one.by == MEAN]
        return found
