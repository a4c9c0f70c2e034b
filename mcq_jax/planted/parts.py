"""`Part`: one node of a planted model, as weights, as arithmetic, and as truth."""

import dataclasses
import enum

import numpy as np
from jaxtyping import Float

from mcq_jax.planted import ideal
from mcq_jax.planted.channels import Channels, Directions
from mcq_jax.planted.weights import HARD, Head, Match, Neurons


class Stage(enum.IntEnum):
    """When a part must act: after everything of the stage before it."""

    COUNTING = 0
    READING = 1
    # Only where there is a shadow (`distractors.shadow`).
    SHADOWING = 2
    GATHERING = 3
    POINTING = 4
    AMPLIFYING = 5
    ANY = 6


class Fate(enum.Enum):
    """What a node is to the answer: every node of a planted model has one of these."""

    OUTPUT = "writes to the answer at the last token"
    UPSTREAM_LAST = "acts at the last token, on what output nodes read"
    UPSTREAM_ELSEWHERE = "acts at earlier tokens only, on what the others read"
    INERT = "changes no answer when resampled"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One head or feed-forward block of the circuit, before it has a place."""

    # What the report calls it.
    role: str
    stage: Stage
    fate: Fate
    # What it is made of; `Neurons` for a feed-forward block.
    weights: Head | Neurons
    # What it does to the last token, exactly.
    rule: ideal.Rule = ideal.writes_nothing
    # The head class it must be given; feed-forward blocks have none.
    head_class: str = "other"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clues:
    """By what a line is found, each with its share of the score.

    A rank is a letter's own number, modulo the number of options: E is first as A is
    first. Content is matched at the options' words, where heads then look.
    """

    place: float = 0.0
    letter: float = 0.0
    rank: float = 0.0
    content: float = 0.0

    def of_lines(
        self, token: ideal.LastToken, facts: ideal.Facts
    ) -> Float[np.ndarray, " choice"]:
        """How much of the score each line has, up to 1."""
        letters = np.array(facts.letters)
        choices = len(letters)
        wanted = token.wanted_letter
        ranks = np.bincount(np.arange(len(wanted)) % choices, wanted, choices)
        return (
            self.place * token.wanted_ordinal[:choices]
            + self.letter * wanted[letters]
            + self.rank * ranks[letters % choices]
            + self.content * token.target[np.array(facts.options)]
        )


def parked(channels: Channels, strength: float = 1.0) -> Match:
    """Every query looks at BOS: where a head rests when nothing else scores higher."""
    return Match(channels.constant, channels.bos, strength * HARD)


def looks_at_labels(channels: Channels) -> tuple[Match, ...]:
    """The last token looks at the labels, all alike; other tokens rest on BOS."""
    return parked(channels, 0.5), Match(channels.cue, channels.label, HARD)


def looks_for_wanted(
    channels: Channels, *, sharpness: float, by_position: float
) -> tuple[Match, ...]:
    """The label on the wanted line scores higher, and the one of the wanted letter.

    `sharpness` (inverse temperature) is shared between the two clues.
    """
    by_letter = 1 - by_position
    return (
        Match(channels.wanted_ordinal, channels.ordinal, sharpness * by_position),
        Match(channels.wanted_letter, channels.letter, sharpness * by_letter),
    )


def pointing_rule(
    *, strength: float, sharpness: float, by_position: float
) -> ideal.Rule:
    """What a head with the two matches above and `strength` letters writes."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        positions = token.wanted_ordinal[: len(facts.letters)]
        letters = token.wanted_letter[np.array(facts.letters)]
        wanted = by_position * positions + (1 - by_position) * letters
        return writes_letters(strength, sharpness * wanted, facts)

    return rule


def writes_letters(
    strength: float, scores: np.ndarray, facts: ideal.Facts
) -> ideal.LastToken:
    """Attention with these scores over the labels, each writing its own letter."""
    shares = strength * ideal.label_shares(scores)
    return ideal.LastToken(out=ideal.on_letters(shares, np.array(facts.letters)))


def linear(read: Directions, to: Directions, strength: float) -> Neurons:
    """Neurons that copy, whatever the sign: relu(x) - relu(-x) = x."""
    return Neurons(
        reads=np.concatenate([read, -read]),
        writes=strength * np.concatenate([to, -to]),
    )
