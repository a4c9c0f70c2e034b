"""`plant_described`: heads whose queries and keys hold something known, and junk.

For methods that say what heads represent, in how many dimensions, and how far a
description carries. The story is that of `plant`; the correct-letter heads differ:

    SIMPLEX   a place, all as far from each other           n - 1 dimensions
    ARC       a place on an arc                             2
    FIRST     whether it is the first; another head answers 1
    SEEN      a place, and in keys whether the right option stands before: labels behind
              it score less; beside it something larger that nobody reads
    WOKEN     a place; a backup speaks as soon as one of the heads says less

Queries and keys of all hold much that no product reads: words of the prompt.
"""

import dataclasses
import enum
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mcq_jax.interventions import Node
from mcq_jax.planted import asking, distractors, ideal, story
from mcq_jax.planted.assembly import assemble, model_config
from mcq_jax.planted.channels import WIDTH, WORDS, Channels, make_channels, random_basis
from mcq_jax.planted.parts import (
    Fate,
    Part,
    Stage,
    looks_at_labels,
    parked,
    writes_letters,
)
from mcq_jax.planted.recipe import Planted, Variant
from mcq_jax.planted.story import Agreement
from mcq_jax.planted.truth import Truth
from mcq_jax.planted.weights import HARD, Head, Match, Neurons, Write

LAYERS, HEADS = 7, 6
# Of 270 degrees.
_ARC = 1.5 * math.pi
# How much larger than what is read the rest is; less where means are to tell of seen.
_JUNK, _JUNK_BESIDE_SEEN = 100.0, 25.0
# Dimensions of it, in queries and in keys.
_MIXED = 4


class Content(enum.Enum):
    """What the correct-letter heads' queries and keys hold."""

    SIMPLEX = "a place, all as far from each other"
    ARC = "a place on an arc"
    FIRST = "whether it is the first place"
    SEEN = "a place, and whether the right option was seen"
    WOKEN = "a place, with a backup that wakes"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
    """A planted model, and what a description of its heads must find."""

    planted: Planted
    # The correct-letter heads that are described.
    heads: tuple[Node, ...]
    # Dimensions of the score.
    rank: int
    # Of the score's contrast, the share that the right option seen before makes.
    seen_share: float
    # What is lost with one head at its mean, and with both (in net logits); None where
    # the answer depends on more.
    lost_alone: float | None
    lost_together: float | None


def plant_described(content: Content, seed: int = 0, *, choices: int = 4) -> Described:
    """Returns the model; the seed decides strengths, bases and which head is which."""
    draw = np.random.default_rng(seed)
    channels = make_channels(random_basis(WIDTH, draw))
    strength, sharpness = draw.uniform(4, 8), _sharpness(content, choices, draw)
    scores = sharpness * _table(content, choices)
    # So that the contrast owes a drawn share to it: half of the others stand behind.
    share = draw.uniform(0.1, 0.4) if content is Content.SEEN else 0.0
    gamma = 2 * sharpness * share / (1 - share)
    pointing = [
        _pointer(
            channels, content, choices, strength, sharpness, scores, gamma,
            random_basis(WORDS, draw)[:_MIXED],
        )
        for _ in range(2)
    ]  # fmt: skip
    steps = _story(channels, content, choices)
    steps[3] += pointing
    if content is Content.FIRST:
        steps[3].append(story.correct_letter(
            channels, strength=strength, sharpness=4.0, by_position=1.0
        ))  # fmt: skip
    if content is Content.WOKEN:
        steps[3].append(_confidence(channels, strength, sharpness, choices))
        steps[4].append(_backup(channels, strength, scores))
    parts = _placed(steps, channels, draw)
    config = model_config(layers=LAYERS, heads=HEADS)
    heads = [n for n, part in parts.items() if any(part is one for one in pointing)]
    share_of_right = _lead(scores)
    lost = strength * share_of_right
    return Described(
        planted=Planted(
            parameters=assemble(parts, channels, config, draw),
            config=config,
            tokenizer=asking.tokenizer(),
            template=asking.TEMPLATE,
            truth=Truth(
                choices=choices, parts=parts, layers=LAYERS, heads=HEADS,
                by_position=1.0,
            ),
            seed=seed, choices=choices, variant=Variant.ORDINAL,
            agreement=Agreement.OR,
        ),
        heads=tuple(sorted(heads)),
        rank={Content.ARC: 2, Content.FIRST: 1}.get(content, choices - 1),
        seen_share=share,
        # The backup says what one of them says.
        lost_alone={Content.WOKEN: 0.0, Content.SIMPLEX: lost}.get(content),
        lost_together={Content.WOKEN: lost, Content.SIMPLEX: 2 * lost}.get(content),
    )  # fmt: skip


def _sharpness(content: Content, choices: int, draw: np.random.Generator) -> float:
    """Such that the right label has most of the attention, and not all of it."""
    if content is Content.SEEN:
        return float(draw.uniform(1.5, 2.5))
    lead = draw.uniform(3, 5)
    if content is Content.ARC:  # its nearest neighbour scores not much less
        return float(lead / (1 - math.cos(_ARC / (choices - 1))))
    return float(lead)


def _table(content: Content, choices: int) -> Float[np.ndarray, "wanted line"]:
    """What a label's line scores for a wanted one, at sharpness 1."""
    query, key = _shape(content, choices)
    return query.T @ key


def _shape(content: Content, choices: int) -> tuple[np.ndarray, np.ndarray]:
    """What queries and keys say of each place, `[dimension, place]`."""
    if content is Content.ARC:
        angles = _ARC * np.arange(choices) / (choices - 1)
        both = np.stack([np.cos(angles), np.sin(angles)])
    elif content is Content.FIRST:
        both = np.where(np.arange(choices) == 0, 1.0, -1.0)[None]
    else:
        both = np.eye(choices)
    return both, both


def _lead(scores: np.ndarray) -> float:
    """How much more attention the right label has than the mean of the others."""
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    right = np.diag(shares)
    return float((right - (1 - right) / (len(scores) - 1)).mean())


def _story(channels: Channels, content: Content, choices: int) -> list[list[Part]]:
    """What stands before and behind the heads that are described, by layer."""
    return [
        [story.counter(channels), story.counting_block(channels, choices=choices)],
        [story.reader(channels), _recogniser(channels), _rumour(channels, content)],
        [story.gatherer(channels), story.gatherer(channels), _looks_back(channels),
         story.agreeing_block(channels, agreement=Agreement.OR)],
        [], [],
    ]  # fmt: skip


def _pointer(
    channels: Channels,
    content: Content,
    choices: int,
    strength: float,
    sharpness: float,
    scores: np.ndarray,
    gamma: float,
    mixed: Float[np.ndarray, "mixture word"],
) -> Part:
    """Looks at the label whose key fits, and writes its letter."""
    of_query, of_key = _shape(content, choices)
    mixed = mixed[:1] if gamma else mixed
    nowhere = channels.inert[-len(mixed) :]  # what no token holds
    junk = sharpness * (_JUNK_BESIDE_SEEN if gamma else _JUNK)

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        count = len(facts.letters)
        wanted = token.wanted_ordinal[:count] @ scores[:count, :count]
        behind = np.arange(count) > facts.gold
        return writes_letters(strength, wanted - gamma * behind, facts)

    matches = (
        *looks_at_labels(channels),
        Match(
            of_query @ channels.wanted_ordinal[:choices],
            of_key @ channels.ordinal[:choices],
            sharpness,
        ),
        # Nobody's: queries hold the word asked for, keys the words seen so far.
        Match(mixed @ channels.target, nowhere, junk),
        Match(nowhere, mixed @ channels.inert[2:14], junk),
    )
    if gamma:
        matches += (Match(-channels.cue, channels.inert[1:2], gamma),)
    return Part(
        role="correct-letter head",
        stage=Stage.POINTING,
        fate=Fate.OUTPUT,
        head_class="correct_letter",
        weights=Head(
            matches=matches,
            writes=(Write(channels.letter, channels.out, strength),),
        ),
        rule=rule,
    )


def _recogniser(channels: Channels) -> Part:
    """The right option's word looks at the same word in the question, and is marked.

    1 for the same word and 1 for an option looking at the question; BOS has 1.5.
    """
    asked = channels.is_word - channels.in_option
    return _elsewhere(
        "recogniser",
        (
            parked(channels, 1.5),
            Match(channels.word, channels.word, HARD),
            Match(channels.in_option, asked, HARD),
        ),
        Write(channels.is_word, channels.inert[:1]),
    )


def _looks_back(channels: Channels) -> Part:
    """A label looks at the marked word before it: the right option was seen."""
    return _elsewhere(
        "seen head",
        (parked(channels), Match(channels.label, channels.inert[:1], 2 * HARD)),
        Write(channels.inert[:1], channels.inert[1:2]),
    )


def _rumour(channels: Channels, content: Content) -> Part:
    """A label looks at all words before it alike and holds their mixture.

    Beside SEEN at the question's alone: a mixture with the right option's word in it
    would differ by what was seen too, and be in the means of those who saw it.
    """
    heard = channels.is_word
    if content is Content.SEEN:
        heard = channels.is_word - channels.in_option
    return _elsewhere(
        "rumour head",
        (parked(channels), Match(channels.label, heard, 2 * HARD)),
        Write(channels.word, channels.inert[2:14]),
    )


def _elsewhere(role: str, matches: tuple[Match, ...], write: Write) -> Part:
    return Part(
        role=role,
        stage=Stage.READING,
        fate=Fate.UPSTREAM_ELSEWHERE,
        weights=Head(matches=matches, writes=(write,)),
    )


def _confidence(
    channels: Channels, strength: float, sharpness: float, choices: int
) -> Part:
    """Raises the flag by 2 while a letter has more than one head alone can write."""
    right = math.exp(sharpness) / (math.exp(sharpness) + choices - 1)
    one, both = strength * (right + 1 / choices), strength * 2 * right
    low, high = one + (both - one) / 3, both - (both - one) / 3
    slope = 2 / (high - low)
    reads = [slope * (channels.out - t * channels.constant) for t in (low, high)]
    write = np.repeat(channels.flag, len(channels.out), axis=0)
    return Part(
        role="confidence block",
        stage=Stage.POINTING,
        fate=Fate.UPSTREAM_LAST,
        weights=Neurons(
            reads=np.concatenate(reads), writes=np.concatenate([write, -write])
        ),
    )


def _backup(channels: Channels, strength: float, scores: np.ndarray) -> Part:
    """Says what one of the heads says, unless the flag is up: see `distractors`."""
    choices = len(scores)
    rests = 0.5 * channels.constant + channels.flag
    return Part(
        role="backup head",
        stage=Stage.AMPLIFYING,
        fate=Fate.INERT,
        weights=Head(
            matches=(
                Match(rests, channels.bos, HARD),
                Match(channels.cue, channels.label, 2 * HARD),
                Match(
                    channels.wanted_ordinal[:choices], channels.ordinal[:choices],
                    float(scores[0, 0]),
                ),
            ),
            writes=(Write(channels.letter, channels.out, strength),),
        ),
    )  # fmt: skip


def _placed(
    steps: Sequence[Sequence[Part]], channels: Channels, draw: np.random.Generator
) -> dict[Node, Part]:
    """Each step in a layer of its own, its heads drawn; all else is silent."""
    nothing = np.zeros((1, WIDTH))
    silent = Part(
        role="silent block", stage=Stage.ANY, fate=Fate.INERT,
        weights=Neurons(reads=nothing, writes=nothing),
    )  # fmt: skip
    placed: dict[Node, Part] = {}
    for layer in range(LAYERS):
        own = list(steps[layer]) if layer < len(steps) else []
        free = draw.permutation(HEADS).tolist()
        for part in own:
            is_head = isinstance(part.weights, Head)
            placed[Node(layer, free.pop() if is_head else None)] = part
        for head in free:
            placed[Node(layer, head)] = distractors.parked_writer(channels)
        placed.setdefault(Node(layer), silent)
    return dict(sorted(placed.items()))
