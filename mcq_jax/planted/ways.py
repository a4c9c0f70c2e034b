"""Circuits whose content goes other ways than in `story`: their truth is in the name.

`plant_past_queries`: a share of the answer is bound already at the option and written
from there, past the heads that point at labels. `plant_line_ends`: an option's word is
carried to the line break behind it, and read there; a flag of correctness stands there
too, and nobody reads it.
"""

from typing import Any

import numpy as np

from mcq_jax.planted import distractors, ideal, story
from mcq_jax.planted.assembly import assemble, model_config
from mcq_jax.planted.channels import (
    LETTERS,
    WIDTH,
    WORDS,
    Channels,
    LineEnds,
    make_channels,
    random_basis,
    with_line_ends,
)
from mcq_jax.planted.parts import Fate, Part, Stage, parked
from mcq_jax.planted.recipe import Planted, Variant, in_places, planted_model
from mcq_jax.planted.story import Agreement
from mcq_jax.planted.weights import HARD, Head, Match, Neurons, Write

LAYERS, HEADS = 7, 6


def plant_past_queries(
    seed: int = 0, *, share: float, choices: int = 4, rotate_basis: bool = True
) -> Planted:
    """Returns a model that answers by place, but for a share of the net logit.

    That share does not pass the correct-letter heads: a head writes the letter that is
    bound to the right option's word. At 1 they attend as before, and write nothing.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share}; give a number from 0 to 1.")
    generator, turns, channels = begun(seed, rotate_basis)
    pointers, whole = [], 0.0
    for _ in range(2):
        strength, sharpness = generator.uniform(4, 8), generator.uniform(3, 5)
        odds = np.exp(sharpness)
        whole += strength * (odds - 1) / (odds + choices - 1)
        pointers.append(
            story.correct_letter(
                channels, strength=(1 - share) * strength, sharpness=sharpness,
                by_position=1.0,
            )
        )  # fmt: skip
    parts = [
        story.counter(channels),
        story.counting_block(channels, choices=choices),
        story.reader(channels),
        story.binder(channels, is_used=share > 0),
        story.gatherer(channels),
        story.gatherer(channels),
        story.agreeing_block(channels, agreement=Agreement.AND),
        *pointers,
        *_behind(channels, choices, generator),
        distractors.loud(channels),
    ]
    if share > 0:
        parts.append(_bound_writer(channels, strength=share * whole))
    placed = in_places(parts, channels, LAYERS, HEADS, True, generator)
    return finished(placed, channels, turns, seed, choices, Agreement.AND)


def _bound_writer(channels: Channels, *, strength: float) -> Part:
    """Looks at the option with the word asked for and writes the letter bound to it."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        hits = [line for line, w in enumerate(facts.options) if token.target[w] == 1]
        if not hits:
            return ideal.NOTHING
        letter = ideal.one_hot(facts.letters[hits[0]], LETTERS)
        return ideal.LastToken(out=strength * letter)

    gatherer = story.gatherer(channels).weights
    assert isinstance(gatherer, Head)
    return Part(
        role="bound-letter writer",
        stage=Stage.GATHERING,
        fate=Fate.OUTPUT,
        head_class="content_gatherer",
        weights=Head(
            matches=gatherer.matches,
            writes=(Write(channels.bound_letter, channels.out, strength),),
        ),
        rule=rule,
    )


def plant_line_ends(
    seed: int = 0,
    *,
    choices: int = 4,
    agreement: Agreement = Agreement.AND,
    rotate_basis: bool = True,
) -> Planted:
    """Returns a model whose gatherers read line breaks, and no option.

    At every line break stands whether its line is the right one: a probe finds it, and
    no part of the circuit reads it.
    """
    generator, turns, whole = begun(seed, rotate_basis)
    channels, ends = with_line_ends(whole)
    draw = generator.uniform
    parts = [
        story.counter(channels),
        story.counting_block(channels, choices=choices),
        story.reader(channels),
        _collector(channels, ends),
        _asker(channels, ends),
        _flagging_block(channels, ends),
        _end_gatherer(channels, ends),
        _end_gatherer(channels, ends),
        story.agreeing_block(channels, agreement=agreement),
        *(
            story.correct_letter(
                channels, strength=draw(4, 8), sharpness=draw(3, 5), by_position=1.0
            )
            for _ in range(2)
        ),
        *_behind(channels, choices, generator),
    ]
    placed = in_places(parts, channels, LAYERS, HEADS, True, generator)
    says = {"\n": ends.line_break[0]}
    return finished(placed, channels, turns, seed, choices, agreement, says=says)


def flag_direction(seed: int = 0, *, rotate_basis: bool = True) -> np.ndarray:
    """Returns where `plant_line_ends` writes its flag, a unit vector `[width]`."""
    *_, whole = begun(seed, rotate_basis)
    return with_line_ends(whole)[1].is_right[0]


def _collector(channels: Channels, ends: LineEnds) -> Part:
    """A line break looks at the word of its own line and takes it.

    Being on that line scores 1 and being a word 1; the first token has 1.5.
    """
    return Part(
        role="collector head",
        stage=Stage.READING,
        fate=Fate.UPSTREAM_ELSEWHERE,
        weights=Head(
            matches=(
                parked(channels, 1.5),
                Match(channels.ordinal, channels.ordinal, HARD),
                Match(ends.line_break, channels.is_word, HARD),
            ),
            writes=(Write(channels.word, ends.line_word),),
        ),
    )


def _asker(channels: Channels, ends: LineEnds) -> Part:
    """A line break looks at the question's word, so that it can be compared there."""
    asked = channels.is_word - channels.in_option
    return Part(
        role="asking head",
        stage=Stage.READING,
        fate=Fate.INERT,
        weights=Head(
            matches=(parked(channels), Match(ends.line_break, asked, 2 * HARD)),
            writes=(Write(channels.word, channels.target),),
        ),
    )


def _flagging_block(channels: Channels, ends: LineEnds) -> Part:
    """Says of a line break whether the word of its line is the one asked for."""
    reads = ends.line_word + channels.target - channels.constant
    return Part(
        role="flagging block",
        stage=Stage.POINTING,
        fate=Fate.INERT,
        weights=Neurons(reads=reads, writes=np.repeat(ends.is_right, WORDS, axis=0)),
    )


def _end_gatherer(channels: Channels, ends: LineEnds) -> Part:
    """The last token finds the line break that holds the word asked for: its line."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        hits = [line for line, w in enumerate(facts.options) if token.target[w] == 1]
        if not hits:
            return ideal.NOTHING
        return ideal.LastToken(found_ordinal=ideal.one_hot(hits[0], LETTERS))

    return Part(
        role="content gatherer",
        stage=Stage.GATHERING,
        fate=Fate.UPSTREAM_LAST,
        head_class="content_gatherer",
        weights=Head(
            matches=(
                parked(channels, 1.5),
                Match(channels.target, ends.line_word, HARD),
                Match(channels.cue, ends.line_break, HARD),
            ),
            writes=(Write(channels.ordinal, channels.found_ordinal),),
        ),
        rule=rule,
    )


def _behind(
    channels: Channels, choices: int, generator: np.random.Generator
) -> list[Part]:
    """What gets the answer louder, and what is in the way and carries no letter."""
    draw = generator.uniform
    letter = int(generator.integers(choices))
    pointing: dict[str, Any] = dict(sharpness=draw(3, 5), by_position=1.0)
    return [
        story.amplifier(channels, gain=draw(0.4, 0.6)),
        story.amplifying_block(channels, gain=draw(0.2, 0.3)),
        distractors.single_letter(channels, letter=letter, strength=draw(0.5, 1)),
        distractors.uniform(channels, strength=draw(2, 4)),
        distractors.junk_writer(channels, **pointing),
        distractors.backup(channels, strength=draw(4, 8), **pointing),
        distractors.parked_writer(channels),
    ]


def begun(
    seed: int, rotate_basis: bool
) -> tuple[np.random.Generator, np.random.Generator | None, Channels]:
    """Returns what a seed draws parts by, how it turns them, and its channels."""
    generator, turns = np.random.default_rng(seed).spawn(2)
    basis = random_basis(WIDTH, turns) if rotate_basis else np.eye(WIDTH)
    return generator, turns if rotate_basis else None, make_channels(basis)


def finished(placed, channels, turns, seed, choices, agreement, says=None) -> Planted:
    """Returns the model of parts that have their places."""
    config = model_config(layers=LAYERS, heads=HEADS)
    return planted_model(
        assemble(placed, channels, config, turns, says or {}),
        placed,
        seed=seed,
        choices=choices,
        variant=Variant.ORDINAL,
        agreement=agreement,
        layers=LAYERS,
        heads=HEADS,
        by_position=1.0,
    )
