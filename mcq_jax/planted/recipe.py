"""`plant`: a transformer with a known multiple-choice circuit, from a seed."""

import dataclasses
import enum

import numpy as np

from mcq_jax.interventions import Node
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.planted import asking, distractors, story
from mcq_jax.planted.assembly import NEURONS, assemble, model_config
from mcq_jax.planted.channels import (
    LETTERS,
    WIDTH,
    Channels,
    make_channels,
    random_basis,
)
from mcq_jax.planted.parts import Clues, Part
from mcq_jax.planted.placement import place
from mcq_jax.planted.story import Agreement
from mcq_jax.planted.truth import Truth
from mcq_jax.prompts import questions as prompt_questions
from mcq_jax.prompts.rendering import Template
from mcq_jax.prompts.tokenizer import WordTokenizer


class Variant(enum.Enum):
    """How the correct-letter heads know the right label."""

    ORDINAL = "by the number of its line"
    LETTER = "by its letter"
    MIXED = "by both, unequally"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planted:
    """A planted model with all that is needed to ask it, and the truth about it."""

    parameters: Parameters
    config: ModelConfig
    tokenizer: WordTokenizer
    template: Template
    truth: Truth
    # How it was made.
    seed: int
    choices: int
    variant: Variant
    agreement: Agreement

    def questions(
        self, count: int, *, seed: int = 0
    ) -> tuple[prompt_questions.Question, ...]:
        """Returns different questions with the number of options it was made for."""
        return asking.generate_questions(count, choices=self.choices, seed=seed)


def plant(
    seed: int = 0,
    *,
    choices: int = 4,
    variant: Variant = Variant.ORDINAL,
    agreement: Agreement | None = None,
    clues: Clues | None = None,
    has_shadow: bool = False,
    has_flag: bool = False,
    layers: int = 7,
    heads: int = 6,
    rotate_basis: bool = True,
    permute: bool = True,
) -> Planted:
    """Returns a model that answers every question of its kind, as planned.

    The seed decides strengths, places and bases. Models with the same `layers` and
    `heads` share one config, whatever else differs, so they share compiled programs.

    Args:
      agreement: of the two gatherers; None leaves it to the seed.
      clues: by which the two correct-letter heads find the line; None: the variant's.
      has_shadow: whether a head knows the line early, and says it where no one reads.
      has_flag: whether a head marks the right option, where no one reads it.
      rotate_basis: hides all directions by random rotations of the residual stream and
        of each head's own dimensions; neurons are shuffled.
      permute: draws the place of every part, within the order that the story needs.
    """
    if not 2 <= choices <= LETTERS:
        raise ValueError(f"{choices} options; a planted model has 2 to {LETTERS}.")
    # Apart, so that turning the basis leaves everything else as it is.
    generator, turns = np.random.default_rng(seed).spawn(2)
    drawn = list(Agreement)[generator.integers(2)]
    agreement = agreement or drawn
    by_position = _by_position(variant, generator)
    basis = random_basis(WIDTH, turns) if rotate_basis else np.eye(WIDTH)
    channels = make_channels(basis)

    circuit = _circuit(channels, choices, agreement, by_position, generator, clues)
    decoys = _decoys(channels, choices, by_position, generator)
    if has_shadow:
        decoys.append(distractors.shadow(channels))
    if has_flag:
        decoys.append(distractors.flagger(channels))
    parts = in_places([*circuit, *decoys], channels, layers, heads, permute, generator)
    parameters = assemble(
        parts,
        channels,
        model_config(layers=layers, heads=heads),
        turns if rotate_basis else None,
    )
    return planted_model(
        parameters,
        parts,
        seed=seed,
        choices=choices,
        variant=variant,
        agreement=agreement,
        layers=layers,
        heads=heads,
        by_position=by_position,
    )


def planted_model(
    parameters: Parameters,
    parts: dict[Node, Part],
    *,
    seed: int,
    choices: int,
    variant: Variant,
    agreement: Agreement,
    layers: int,
    heads: int,
    by_position: float,
) -> Planted:
    """Returns weights with all that is needed to ask them, and the truth about them."""
    return Planted(
        parameters=parameters,
        config=model_config(layers=layers, heads=heads),
        tokenizer=asking.tokenizer(),
        template=asking.TEMPLATE,
        truth=Truth(
            choices=choices,
            parts=parts,
            layers=layers,
            heads=heads,
            by_position=by_position,
        ),
        seed=seed,
        choices=choices,
        variant=variant,
        agreement=agreement,
    )


def _by_position(variant: Variant, generator: np.random.Generator) -> float:
    """The position's share of the score, never near the half that decides nothing."""
    less, is_more = float(generator.uniform(0.25, 0.35)), generator.integers(2)
    if variant is Variant.MIXED:
        return 1 - less if is_more else less
    return 1.0 if variant is Variant.ORDINAL else 0.0


def _circuit(
    channels: Channels,
    choices: int,
    agreement: Agreement,
    by_position: float,
    generator: np.random.Generator,
    clues: Clues | None,
) -> list[Part]:
    """What the model answers with; `story` tells it part by part."""
    draw = generator.uniform

    def pointer(low: float, high: float):
        strength, sharpness = draw(low, high), draw(3, 5)
        return dict(strength=strength, sharpness=sharpness, by_position=by_position)

    def correct_letter() -> Part:
        chosen = pointer(4, 8)
        if clues is None:
            return story.correct_letter(channels, **chosen)
        how = {name: chosen[name] for name in ("strength", "sharpness")}
        return story.clued(channels, choices=choices, clues=clues, **how)

    return [
        story.counter(channels),
        story.counting_block(channels, choices=choices),
        story.reader(channels),
        story.binder(channels, is_used=by_position < 1 or clues is not None),
        story.gatherer(channels),
        story.gatherer(channels),
        story.agreeing_block(channels, agreement=agreement),
        correct_letter(),
        correct_letter(),
        story.amplifier(channels, gain=draw(0.4, 0.6)),
        story.amplifying_block(channels, gain=draw(0.2, 0.3)),
        story.negative(channels, **pointer(1.2, 2)),
    ]


def _decoys(
    channels: Channels,
    choices: int,
    by_position: float,
    generator: np.random.Generator,
) -> list[Part]:
    """What is in the way; `distractors` tells why, head by head."""
    draw = generator.uniform
    letter, preferred, single = generator.integers(choices, size=3).tolist()
    # Attention of the proto head on its letter while another one is right.
    share = draw(0.65, 0.75)
    bias = float(np.log((choices - 1) * share / (1 - share)))
    pointing = dict(sharpness=draw(3, 5), by_position=by_position)
    decoys = [
        distractors.single_letter(channels, letter=letter, strength=draw(0.5, 1)),
        distractors.uniform(channels, strength=draw(2, 4)),
        distractors.proto(
            channels, line=preferred, strength=draw(0.8, 1.5), bias=bias, bonus=2.0
        ),
        distractors.junk_writer(channels, **pointing),
        distractors.backup(channels, strength=draw(4, 8), **pointing),
        distractors.parked_writer(channels),
        distractors.loud(channels),
        distractors.loud(channels),
    ]
    # Of two letters, one that is followed means that both are.
    if choices > 2:
        strength = draw(1, 2)
        decoys += [
            distractors.letter_specific(
                channels, line=single, strength=strength, **pointing
            )
        ]
    return decoys


def in_places(
    parts: list[Part],
    channels: Channels,
    layers: int,
    heads: int,
    permute: bool,
    generator: np.random.Generator,
) -> dict[Node, Part]:
    """Places the parts and fills every other node with something idle."""
    placed = place(
        parts, layers=layers, heads=heads, generator=generator if permute else None
    )
    for layer in range(layers):
        for head in range(heads):
            if Node(layer, head) not in placed:
                filler = distractors.filler_head(channels, generator)
                placed[Node(layer, head)] = filler
        if Node(layer) not in placed:
            placed[Node(layer)] = distractors.filler_block(
                channels, generator, neurons=NEURONS
            )
    return dict(sorted(placed.items(), key=lambda item: _place(item[0], heads)))


def _place(node: Node, heads: int) -> tuple[int, int]:
    return node.layer, node.column(heads)
