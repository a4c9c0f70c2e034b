"""`plant_noisy`: a circuit whose numbers differ from question to question, by words.

Every question of `plant` gives the same numbers, so that intervals have no width. Here
three heads go by words, with a number or several drawn for each word:

    sureness    how sharply correct-letter heads look, by the word asked for
    bias        letters written for the word asked for, whatever is right
    liking      words that are liked wherever they stand: their lines' letters

Bias and liking know nothing of what is right. With `points` False there is only them.
"""

import numpy as np
from jaxtyping import Float

from mcq_jax.planted import distractors, ideal, story
from mcq_jax.planted.channels import LETTERS, WORDS, Channels
from mcq_jax.planted.parts import Fate, Part, Stage, parked, writes_letters
from mcq_jax.planted.recipe import Planted, in_places
from mcq_jax.planted.story import Agreement
from mcq_jax.planted.ways import HEADS, LAYERS, begun, finished
from mcq_jax.planted.weights import HARD, Head, Match, Write

# Of the line wanted, what full sureness adds to the 1 of the agreeing block.
_SURE = 2.0


def plant_noisy(
    seed: int = 0, *, choices: int = 4, points: bool = True, rotate_basis: bool = True
) -> Planted:
    """Returns a model that answers by place, more or less surely, and by noise.

    Args:
        points: whether anything looks for the right line; without, nothing tells it
            from the others.
    """
    generator, turns, channels = begun(seed, rotate_basis)
    draw = generator.uniform
    bias = draw(1, 2) * generator.normal(size=(WORDS, LETTERS))
    letter = int(generator.integers(choices))
    parts = [
        story.counter(channels),
        story.counting_block(channels, choices=choices),
        story.reader(channels),
        story.binder(channels, is_used=True),
        _biased(channels, bias=bias),
        _liking(channels, liking=generator.normal(size=WORDS), strength=draw(3, 6)),
        story.amplifier(channels, gain=draw(0.4, 0.6)),
        story.amplifying_block(channels, gain=draw(0.2, 0.3)),
        distractors.single_letter(channels, letter=letter, strength=draw(0.5, 1)),
        distractors.uniform(channels, strength=draw(2, 4)),
    ]
    if points:
        parts += _pointing(channels, generator)
    placed = in_places(parts, channels, LAYERS, HEADS, True, generator)
    return finished(placed, channels, turns, seed, choices, Agreement.AND)


def _pointing(channels: Channels, generator: np.random.Generator) -> list[Part]:
    """What knows the right line, and two heads that write its letter."""
    draw = generator.uniform
    return [
        story.gatherer(channels),
        story.gatherer(channels),
        _unsure(channels, sureness=draw(-2, 2, size=WORDS)),
        story.agreeing_block(channels, agreement=Agreement.AND),
        *(
            story.correct_letter(
                channels, strength=draw(4, 8), sharpness=draw(1, 2), by_position=1.0
            )
            for _ in range(2)
        ),
    ]


def _unsure(channels: Channels, *, sureness: Float[np.ndarray, " word"]) -> Part:
    """Looks at the option with the word asked for as far as it is sure of that word.

    With sureness s its attention there is e^s / (e^s + 1), the rest is BOS's: of the
    line it adds so much to what is wanted, as if the pointers were sharper.
    """

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        hits = [line for line, w in enumerate(facts.options) if token.target[w] == 1]
        if not hits:
            return ideal.NOTHING
        share = 1 / (1 + np.exp(-sureness[facts.options[hits[0]]]))
        line = ideal.one_hot(hits[0], LETTERS)
        return ideal.LastToken(wanted_ordinal=_SURE * share * line)

    surely = (1 + sureness / HARD)[:, None] * channels.target
    return Part(
        role="unsure gatherer",
        stage=Stage.GATHERING,
        fate=Fate.UPSTREAM_LAST,
        head_class="content_gatherer",
        weights=Head(
            matches=(
                parked(channels, 2.0),
                Match(surely, channels.word, HARD),
                Match(channels.cue, channels.in_option, HARD),
            ),
            writes=(Write(channels.ordinal, channels.wanted_ordinal, _SURE),),
        ),
        rule=rule,
    )


def _biased(channels: Channels, *, bias: Float[np.ndarray, "word letter"]) -> Part:
    """The last token looks at itself and writes letters for the word asked for."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return ideal.LastToken(out=token.target @ bias)

    return Part(
        role="biased head",
        stage=Stage.GATHERING,
        fate=Fate.OUTPUT,
        weights=Head(
            matches=(parked(channels), Match(channels.cue, channels.cue, 2 * HARD)),
            writes=(Write(channels.target, bias @ channels.out),),
        ),
        rule=rule,
    )


def _liking(
    channels: Channels, *, liking: Float[np.ndarray, " word"], strength: float
) -> Part:
    """Looks at the options' words, each as it is liked, and writes their letters."""

    def rule(token: ideal.LastToken, facts: ideal.Facts) -> ideal.LastToken:
        return writes_letters(strength, liking[np.array(facts.options)], facts)

    words = channels.is_word + channels.in_option
    return Part(
        role="liking head",
        stage=Stage.GATHERING,
        fate=Fate.OUTPUT,
        weights=Head(
            matches=(
                parked(channels, 1.5),
                Match(channels.cue, words, HARD),
                Match(channels.cue, (liking @ channels.word)[None], 1.0),
            ),
            writes=(Write(channels.bound_letter, channels.out, strength),),
        ),
        rule=rule,
    )
