"""The circuit that answers, part by part, in the order in which it acts.

    counter head ─► counting block: every token knows its line
    reader: the last token knows which word is asked for
    binder: an option's word knows the letter of its line
    gatherers ─► agreeing block: the last token knows line and letter of that word
    correct-letter heads: it looks at that label and writes its letter
    amplifier head and block: what is written gets louder; a negative head objects

Each function returns one part: the weights, and beside them the rule that says exactly
what they do to the last token.
"""

import enum

import numpy as np

from mcq_jax.planted import ideal
from mcq_jax.planted.channels import LETTERS, WORDS, Channels
from mcq_jax.planted.parts import (
    Clues,
    Fate,
    Part,
    Stage,
    linear,
    looks_at_labels,
    looks_for_wanted,
    parked,
    pointing_rule,
    writes_letters,
)
from mcq_jax.planted.weights import HARD, Head, Match, Neurons, Write, join


class Agreement(enum.Enum):
    """What the redundant gatherers must do for a line to be wanted."""

    AND = "both found it"
    OR = "at least one found it"


def counter(channels: Channels) -> Part:
    """Looks at BOS and all labels so far alike; BOS's share says how many there are."""
    seen = channels.bos + channels.label
    return Part(
        role="counter head",
        stage=Stage.COUNTING,
        fate=Fate.UPSTREAM_ELSEWHERE,
        weights=Head(
            matches=(Match(channels.constant, seen, HARD),),
            writes=(Write(channels.bos, channels.count),),
        ),
    )


def counting_block(channels: Channels, *, choices: int) -> Part:
    """Turns the share 1 / (1 + n) into the line number n."""
    steps = [_at_least(line, channels) for line in range(1, choices + 1)]
    return Part(
        role="counting block",
        stage=Stage.COUNTING,
        fate=Fate.UPSTREAM_ELSEWHERE,
        weights=join(steps),
    )


def _at_least(line: int, channels: Channels) -> Neurons:
    """Fires 1 on line `line` and later: the number there goes up by one.

    Two neurons make a ramp that is flat where the count can be, so that rounding of
    the count is not carried on.
    """
    here, before = 1 / (1 + line), 1 / line
    low, high = here + (before - here) / 3, before - (before - here) / 3
    slope = 1 / (high - low)
    reads = [slope * (t * channels.constant - channels.count) for t in (high, low)]
    raised = channels.ordinal[line - 1]
    lowered = channels.in_option[0] if line == 1 else -channels.ordinal[line - 2]
    write = (raised + lowered)[None]
    return Neurons(reads=np.concatenate(reads), writes=np.concatenate([write, -write]))


def reader(channels: Channels) -> Part:
    """The last token looks at the word of the question: a word on no line."""
    asked = channels.is_word - channels.in_option

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return ideal.LastToken(target=ideal.one_hot(facts.asked, WORDS))

    return Part(
        role="reader head",
        stage=Stage.READING,
        fate=Fate.UPSTREAM_LAST,
        weights=Head(
            matches=(parked(channels), Match(channels.cue, asked, 2 * HARD)),
            writes=(Write(channels.word, channels.target),),
        ),
        rule=rule,
    )


def binder(channels: Channels, *, is_used: bool) -> Part:
    """An option's word looks at the label of its own line and takes its letter.

    The score is 1 for the same line and 1 for a word looking at a label; BOS has 1.5,
    so nothing less than both will do.
    """
    return Part(
        role="binder head",
        stage=Stage.READING,
        fate=Fate.UPSTREAM_ELSEWHERE if is_used else Fate.INERT,
        weights=Head(
            matches=(
                parked(channels, 1.5),
                Match(channels.ordinal, channels.ordinal, HARD),
                Match(channels.is_word, channels.label, HARD),
            ),
            writes=(Write(channels.letter, channels.bound_letter),),
        ),
    )


def gatherer(channels: Channels) -> Part:
    """The last token looks at the option with the word asked for: line and letter."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        hits = [line for line, w in enumerate(facts.options) if token.target[w] == 1]
        if not hits:
            return ideal.NOTHING
        return ideal.LastToken(
            found_ordinal=ideal.one_hot(hits[0], LETTERS),
            found_letter=ideal.one_hot(facts.letters[hits[0]], LETTERS),
        )

    return Part(
        role="content gatherer",
        stage=Stage.GATHERING,
        fate=Fate.UPSTREAM_LAST,
        head_class="content_gatherer",
        weights=Head(
            matches=(
                parked(channels, 1.5),
                Match(channels.target, channels.word, HARD),
                Match(channels.cue, channels.in_option, HARD),
            ),
            writes=(
                Write(channels.ordinal, channels.found_ordinal),
                Write(channels.bound_letter, channels.found_letter),
            ),
        ),
        rule=rule,
    )


def agreeing_block(channels: Channels, *, agreement: Agreement) -> Part:
    """Joins what was found twice: min(sum, 1) for OR, max(sum - 1, 0) for AND."""
    found = np.concatenate([channels.found_ordinal, channels.found_letter])
    wanted = np.concatenate([channels.wanted_ordinal, channels.wanted_letter])
    beyond_one = found - channels.constant
    if agreement is Agreement.AND:
        neurons = Neurons(reads=beyond_one, writes=wanted)
    else:
        neurons = Neurons(
            reads=np.concatenate([found, beyond_one]),
            writes=np.concatenate([wanted, -wanted]),
        )

    def agree(found: np.ndarray) -> np.ndarray:
        if agreement is Agreement.AND:
            return np.maximum(found - 1, 0)
        return np.minimum(found, 1)

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return ideal.LastToken(
            wanted_ordinal=agree(token.found_ordinal),
            wanted_letter=agree(token.found_letter),
        )

    return Part(
        role="agreeing block",
        stage=Stage.GATHERING,
        fate=Fate.UPSTREAM_LAST,
        weights=neurons,
        rule=rule,
    )


def correct_letter(
    channels: Channels, *, strength: float, sharpness: float, by_position: float
) -> Part:
    """Looks at the label of the wanted line or letter, writes its letter and a flag.

    With p = e^sharpness / (e^sharpness + n - 1) on the right label and o on each of
    the others it adds strength * p to the right letter, strength * o to the others.
    """

    points = pointing_rule(
        strength=strength, sharpness=sharpness, by_position=by_position
    )

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return points(token, facts) + ideal.LastToken(flag=np.ones(1))

    clues = looks_for_wanted(channels, sharpness=sharpness, by_position=by_position)
    return Part(
        role="correct-letter head",
        stage=Stage.POINTING,
        fate=Fate.OUTPUT,
        head_class="correct_letter",
        weights=Head(
            matches=(*looks_at_labels(channels), *clues),
            writes=(
                Write(channels.letter, channels.out, strength),
                Write(channels.label, channels.flag),
            ),
        ),
        rule=rule,
    )


def clued(
    channels: Channels,
    *,
    choices: int,
    strength: float,
    sharpness: float,
    clues: Clues,
) -> Part:
    """Looks at the line that some clues point to, and writes its letter and a flag.

    At its label, or where content counts at its word, which knows place and letter too.
    Knows the first letters only, as many as there are options; of ranks all.
    """
    lines, letters = channels.ordinal[:choices], channels.letter[:choices]
    known, wanted = letters, channels.wanted_letter[:choices]
    where, read = looks_at_labels(channels), channels.letter
    if clues.content:
        word = channels.is_word + channels.in_option
        where = (parked(channels, 1.5), Match(channels.cue, word, HARD))
        known, read = channels.bound_letter[:choices], channels.bound_letter
    folded = [
        np.stack([rows[rank::choices].sum(axis=0) for rank in range(choices)])
        for rows in (channels.wanted_letter, channels.letter)
    ]
    terms = (
        (clues.place, channels.wanted_ordinal[:choices], lines),
        (clues.letter, wanted, known),
        (clues.rank, *folded),
        (clues.content, channels.target, channels.word),
    )

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        scores = sharpness * clues.of_lines(token, facts)
        written = writes_letters(strength, scores, facts)
        return written + ideal.LastToken(flag=np.ones(1))

    return Part(
        role="correct-letter head",
        stage=Stage.POINTING,
        fate=Fate.OUTPUT,
        head_class="other" if clues.content else "correct_letter",
        weights=Head(
            matches=(
                *where,
                *(Match(q, k, sharpness * share) for share, q, k in terms if share),
            ),
            writes=(
                Write(read, channels.out, strength),
                Write(channels.constant - channels.bos, channels.flag),
            ),
        ),
        rule=rule,
    )


def negative(
    channels: Channels, *, strength: float, sharpness: float, by_position: float
) -> Part:
    """Looks where correct-letter heads look and writes against the letter there."""

    rule = pointing_rule(
        strength=-strength, sharpness=sharpness, by_position=by_position
    )
    clues = looks_for_wanted(channels, sharpness=sharpness, by_position=by_position)
    return Part(
        role="negative head",
        stage=Stage.AMPLIFYING,
        fate=Fate.OUTPUT,
        head_class="negative",
        weights=Head(
            matches=(*looks_at_labels(channels), *clues),
            writes=(Write(channels.letter, channels.out, -strength),),
        ),
        rule=rule,
    )


def amplifier(channels: Channels, *, gain: float) -> Part:
    """The last token looks at itself and adds `gain` times the answer so far."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return ideal.LastToken(out=gain * token.out)

    return Part(
        role="amplifier head",
        stage=Stage.AMPLIFYING,
        fate=Fate.OUTPUT,
        head_class="amplifier",
        weights=Head(
            matches=(parked(channels), Match(channels.cue, channels.cue, 2 * HARD)),
            writes=(Write(channels.out, channels.out, gain),),
        ),
        rule=rule,
    )


def amplifying_block(channels: Channels, *, gain: float) -> Part:
    """Adds `gain` times the answer so far, the heads of its own layer included."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return ideal.LastToken(out=gain * token.out)

    return Part(
        role="amplifying block",
        stage=Stage.AMPLIFYING,
        fate=Fate.OUTPUT,
        weights=linear(channels.out, channels.out, gain),
        rule=rule,
    )
