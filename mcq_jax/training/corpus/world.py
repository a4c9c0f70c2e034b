"""`World`: what is true in a corpus, and what of it is never asked.

Siblings are two values that stand next to each other in the vocabulary. In training no
question has two siblings among its options: combinations of options that are held out.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.training.corpus.vocabulary import IDS, NAME, THINGS, VALUES

# All that a question may be about; the last needs no knowledge.
RELATIONS = (*VALUES, NAME)
# Words of a value at most.
VALUE_WORDS = 2


@dataclasses.dataclass(frozen=True)
class World:
    """Facts, drawn once by a seed: each a relation of a thing."""

    # Which value a thing has, as an index into its relation's values.
    value: Int[np.ndarray, "relation thing"]
    # Whether the fact is asked in training. Those that are not are stated all the same.
    asked: Bool[np.ndarray, "relation thing"]


@functools.cache
def make_world(seed: int, held_out: float) -> World:
    """Returns the facts of a seed.

    Args:
        held_out: the share of each relation's things that questions leave out.
    """
    generator = np.random.default_rng((seed, _FACTS))
    things = len(THINGS)
    value = np.stack(
        [generator.permutation(np.arange(things) % count) for count in VALUE_COUNTS]
    )
    value[RELATIONS.index(NAME)] = np.arange(things)
    asked = np.ones(value.shape, bool)
    for row in asked:
        row[generator.permutation(things)[: round(held_out * things)]] = False
    for array in (value, asked):
        array.setflags(write=False)  # every stream of the seed has this very world
    return World(value=value, asked=asked)


def values_of(relation: str) -> tuple[str, ...]:
    """Returns the texts of what may be true."""
    return THINGS if relation == NAME else VALUES[relation]


def _tokens() -> Int[np.ndarray, "relation value word"]:
    """Each value's tokens, -1 where a second word or a value is missing."""
    found = np.full((len(RELATIONS), max(VALUE_COUNTS), VALUE_WORDS), -1)
    for row, relation in enumerate(RELATIONS):
        for index, text in enumerate(values_of(relation)):
            for place, word in enumerate(text.split()):
                found[row, index, place] = IDS[word]
    return found


# Sets this draw apart from those of batches.
_FACTS = 1 << 20
VALUE_COUNTS = tuple(len(values_of(relation)) for relation in RELATIONS)
assert all(count % 2 == 0 for count in VALUE_COUNTS), "each value has a sibling"
VALUE_TOKENS = _tokens()
