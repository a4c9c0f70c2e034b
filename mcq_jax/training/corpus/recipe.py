"""`CorpusRecipe`: everything that decides a corpus's text."""

import dataclasses
import enum

import numpy as np
from jaxtyping import Float

from mcq_jax.training.corpus.vocabulary import LETTERS, THINGS
from mcq_jax.training.corpus.world import RELATIONS

# Tokens of a row; the longest question has 39.
TIME = 40
# Letters that questions may be labelled with; the others stand in lists only.
ASKED_LETTERS = LETTERS[:18]
# How often each of these is drawn is alike: fillers before a sentence, words of a copy,
# numbers of a count. Lists have as many lines at most as questions have options.
FILLERS_BEFORE = (0, 1, 2, 3)
MOST_LINES = 6
LOOK_UPS = 6
COPIED_WORDS = (4, 5, 6, 7, 8)
COUNTED_NUMBERS = (4, 5, 6, 7, 8)


class Arm(enum.Enum):
    """How the options of questions are labelled; all other text is every arm's."""

    FIXED = "A, B, C, … in this order"
    SHUFFLED = "half of the questions so, the others with the same in any order"
    RANDOM = "letters drawn for each question, in any order"


class Row(enum.Enum):
    """What a row is filled with: documents of one kind, as many as always fit."""

    QUESTION = "one multiple-choice question with its answer"
    FACTS = "statements of facts"
    LIST = "one list, lettered or numbered, and what stands behind some of its labels"
    COPIES = "some words and the same again, forwards or backwards"
    COUNTS = "numbers, one up or one down each time"


DOCUMENTS = {
    Row.QUESTION: 1,
    Row.FACTS: 3,
    Row.LIST: 1,
    Row.COPIES: 2,
    Row.COUNTS: 3,
}


class ListLabels(enum.Enum):
    """How the lines of a list are labelled."""

    LETTERS = "A, B, C, …"
    RANDOM_LETTERS = "any letters of the alphabet, in any order"
    NUMBERS = "1, 2, 3, …"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusRecipe:
    """A corpus, from a seed. Recipes that differ in their arm differ in labels only."""

    # Of the world and of all that is drawn.
    seed: int = 0
    arm: Arm = Arm.FIXED
    # Rows of a batch.
    rows: int = 64
    # Share of the rows of each kind, in the order of `Row`.
    shares: tuple[float, ...] = (0.4, 0.1, 0.3, 0.15, 0.05)
    # Share of the questions about each relation, in the order of `RELATIONS`.
    asked: tuple[float, ...] = (0.2, 0.2, 0.2, 0.4)
    # Share of the questions with 3, 4, 5 and 6 options.
    options: tuple[float, ...] = (0.2, 0.4, 0.2, 0.2)
    # Share of the lists with each kind of label, in the order of `ListLabels`.
    lists: tuple[float, ...] = (0.4, 0.3, 0.3)
    # How many lines a list may have, any of these alike.
    list_lines: tuple[int, ...] = (2, 3, 4, 5, 6)
    # Lists are of the first so many things.
    listed: int = len(THINGS)
    # Share of the questions whose answer is drawn, any label alike.
    noise: float = 0.05
    # Share of the facts that are never asked.
    held_out: float = 0.2

    def __post_init__(self):
        for name, count in (
            ("shares", len(Row)),
            ("asked", len(RELATIONS)),
            ("options", len(OPTIONS)),
            ("lists", len(ListLabels)),
        ):
            values = getattr(self, name)
            is_share = len(values) == count and all(value >= 0 for value in values)
            if not is_share or abs(sum(values) - 1) > 1e-9:
                raise ValueError(
                    f"{name} is {values}; give {count} shares that sum to 1."
                )
        lines = self.list_lines
        if not lines or not all(1 <= n <= MOST_LINES for n in lines):
            raise ValueError(f"lists have {lines} lines; give 1 to {MOST_LINES}.")
        if not MOST_LINES <= self.listed <= len(THINGS):
            raise ValueError(
                f"lists draw from {self.listed} things; give {MOST_LINES} to "
                f"{len(THINGS)}."
            )
        for name in ("noise", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; give a share below 1."
                )
        if self.rows < 1 or self.seed < 0:
            raise ValueError(
                f"{self.rows} rows with the seed {self.seed}; give at least one row "
                "and a seed of 0 or more."
            )


# How many options a question may have.
OPTIONS = (3, 4, 5, 6)


def cumulative(shares: tuple[float, ...]) -> Float[np.ndarray, " kind"]:
    """Returns where each kind ends on a line from 0 to 1, for `np.searchsorted`."""
    return np.cumsum(shares) / np.sum(shares)
