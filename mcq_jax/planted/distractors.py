"""Heads that are in the way: each is a mistake that a method could make.

Some write to the answer without knowing it (biases), some look right and write
elsewhere, some write much that nobody reads, one waits until others are silenced.
"""

import numpy as np

from mcq_jax.planted import ideal
from mcq_jax.planted.channels import Channels
from mcq_jax.planted.parts import (
    Fate,
    Part,
    Stage,
    looks_at_labels,
    looks_for_wanted,
    parked,
    pointing_rule,
    writes_letters,
)
from mcq_jax.planted.weights import HARD, Head, Match, Neurons, Write


def single_letter(channels: Channels, *, letter: int, strength: float) -> Part:
    """Always looks at one letter: a bias that no effect on balanced golds shows."""
    mine = channels.letter[[letter]]

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        is_mine = np.array(facts.letters) == letter
        return writes_letters(strength, HARD * is_mine, facts)

    return Part(
        role="single-letter head",
        stage=Stage.ANY,
        fate=Fate.OUTPUT,
        head_class="single_letter",
        weights=Head(
            matches=(
                *looks_at_labels(channels),
                Match(channels.cue, mine, HARD),
            ),
            writes=(Write(channels.letter, channels.out, strength),),
        ),
        rule=rule,
    )


def uniform(channels: Channels, *, strength: float) -> Part:
    """Looks at all labels alike: it promotes the answer set as a whole."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return writes_letters(strength, np.zeros(len(facts.letters)), facts)

    return Part(
        role="uniform head",
        stage=Stage.ANY,
        fate=Fate.OUTPUT,
        head_class="uniform",
        weights=Head(
            matches=looks_at_labels(channels),
            writes=(Write(channels.letter, channels.out, strength),),
        ),
        rule=rule,
    )


def proto(
    channels: Channels, *, line: int, strength: float, bias: float, bonus: float
) -> Part:
    """Prefers one letter, and more so when the line of that number is the right one.

    On alphabetical labels: "B, and all the more if B is right".
    """
    mine, on_line = channels.letter[[line]], channels.wanted_ordinal[[line]]

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        is_mine = np.array(facts.letters) == line
        scores = (bias + bonus * token.wanted_ordinal[line]) * is_mine
        return writes_letters(strength, scores, facts)

    return Part(
        role="proto head",
        stage=Stage.POINTING,
        fate=Fate.OUTPUT,
        head_class="single_letter",
        weights=Head(
            matches=(
                *looks_at_labels(channels),
                Match(channels.cue, mine, bias),
                Match(on_line, mine, bonus),
            ),
            writes=(Write(channels.letter, channels.out, strength),),
        ),
        rule=rule,
    )


def letter_specific(
    channels: Channels,
    *,
    line: int,
    strength: float,
    sharpness: float,
    by_position: float,
) -> Part:
    """Looks at one label if it is wanted, else at all of them alike."""
    clues = looks_for_wanted(channels, sharpness=sharpness, by_position=by_position)
    on_line = tuple(Match(c.query[[line]], c.key[[line]], c.strength) for c in clues)

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        by_line = by_position * token.wanted_ordinal[line]
        by_letter = (1 - by_position) * token.wanted_letter[line]
        is_on_line = np.arange(len(facts.letters)) == line
        is_letter = np.array(facts.letters) == line
        scores = by_line * is_on_line + by_letter * is_letter
        return writes_letters(strength, sharpness * scores, facts)

    return Part(
        role="letter-specific head",
        stage=Stage.POINTING,
        fate=Fate.OUTPUT,
        head_class="letter_specific",
        weights=Head(
            matches=(*looks_at_labels(channels), *on_line),
            writes=(Write(channels.letter, channels.out, strength),),
        ),
        rule=rule,
    )


def junk_writer(channels: Channels, *, sharpness: float, by_position: float) -> Part:
    """Looks like a correct-letter head does, and writes where no one reads."""
    clues = looks_for_wanted(channels, sharpness=sharpness, by_position=by_position)
    return Part(
        role="diagonal junk writer",
        stage=Stage.POINTING,
        fate=Fate.INERT,
        weights=Head(
            matches=(*looks_at_labels(channels), *clues),
            writes=(Write(channels.letter, channels.junk, 8.0),),
        ),
    )


def shadow(channels: Channels) -> Part:
    """Knows the right line before anyone who counts, and says so where no one reads.

    A subspace that is learned in front of the gatherers may join what it writes with
    what correct-letter heads read and nobody has written yet (Makelov et al. 2023):
    interchanging it steers the answer by a way that the model does not go.
    """
    nowhere = channels.junk
    return Part(
        role="shadow head",
        stage=Stage.SHADOWING,
        fate=Fate.INERT,
        weights=Head(
            matches=(
                parked(channels, 1.5),
                Match(channels.target, channels.word, HARD),
                Match(channels.cue, channels.in_option, HARD),
            ),
            writes=(Write(channels.ordinal, nowhere, 4.0),),
        ),
    )


def flagger(channels: Channels) -> Part:
    """Marks the option that holds the question's word, where no one reads.

    Any probe finds the right option there; interchanging the mark moves no answer.
    """
    asked = channels.is_word - channels.in_option
    return Part(
        role="flag head",
        stage=Stage.READING,
        fate=Fate.INERT,
        weights=Head(
            matches=(
                parked(channels, 1.5),
                Match(channels.word, channels.word, HARD),
                Match(channels.is_word, asked, HARD),
            ),
            writes=(Write(channels.is_word, channels.junk[:1], 4.0),),
        ),
    )


def parked_writer(channels: Channels) -> Part:
    """Would write the letter of any label it looked at, but never leaves BOS."""
    return Part(
        role="parked writer",
        stage=Stage.ANY,
        fate=Fate.INERT,
        weights=Head(
            matches=(parked(channels),),
            writes=(Write(channels.letter, channels.out, 6.0),),
        ),
    )


def backup(
    channels: Channels,
    *,
    strength: float,
    sharpness: float,
    by_position: float,
) -> Part:
    """A correct-letter head that rests on BOS while both of the others have spoken.

    Resampling them leaves their flags up and it stays hidden; zeroing one takes a flag
    down and it speaks: labels score 2, BOS 2.5 with two flags and 1.5 with one.
    """
    points = pointing_rule(
        strength=strength, sharpness=sharpness, by_position=by_position
    )

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return ideal.NOTHING if token.flag[0] > 1.5 else points(token, facts)

    rests = 0.5 * channels.constant + channels.flag
    clues = looks_for_wanted(channels, sharpness=sharpness, by_position=by_position)
    return Part(
        role="backup head",
        stage=Stage.AMPLIFYING,
        fate=Fate.INERT,
        weights=Head(
            matches=(
                Match(rests, channels.bos, HARD),
                Match(channels.cue, channels.label, 2 * HARD),
                *clues,
            ),
            writes=(Write(channels.letter, channels.out, strength),),
        ),
        rule=rule,
    )


def loud(channels: Channels) -> Part:
    """Copies words, larger than anything else, to where no one reads."""
    nowhere = channels.inert[: len(channels.word)]
    return Part(
        role="large-norm inert head",
        stage=Stage.ANY,
        fate=Fate.INERT,
        weights=Head(
            matches=(parked(channels), Match(channels.cue, channels.is_word, 2 * HARD)),
            writes=(Write(channels.word, nowhere, 30.0),),
        ),
    )


def filler_head(channels: Channels, generator: np.random.Generator) -> Part:
    """Looks mostly at BOS and a little at anything, as idle heads of real models do."""
    seen = np.concatenate([channels.word, channels.letter, channels.label])
    read = np.concatenate([channels.constant, seen])
    query, key = (_mixture(6, seen, generator) for _ in range(2))
    to = _mixture(6, channels.inert, generator)
    return Part(
        role="filler head",
        stage=Stage.ANY,
        fate=Fate.INERT,
        weights=Head(
            matches=(
                Match(channels.constant, channels.bos, 6.0),
                Match(query, key, 1.0),
            ),
            writes=(Write(_mixture(6, read, generator), to),),
        ),
    )


def filler_block(
    channels: Channels, generator: np.random.Generator, *, neurons: int
) -> Part:
    """Random neurons that read what the embedding says and write where no one reads."""
    seen = np.concatenate([channels.constant, channels.word, channels.letter])
    return Part(
        role="filler block",
        stage=Stage.ANY,
        fate=Fate.INERT,
        weights=Neurons(
            reads=_mixture(neurons, seen, generator),
            writes=_mixture(neurons, channels.inert, generator) / neurons**0.5,
        ),
    )


def _mixture(
    count: int, directions: np.ndarray, generator: np.random.Generator
) -> np.ndarray:  # [count, width]
    """Returns random unit vectors from the span of the directions."""
    mixed = generator.normal(size=(count, len(directions))) @ directions
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
