"""Word repetition: a task that is not multiple choice, of the same words.

    Words: knife river cloud stone tiger salt knife river cloud ->  stone

The source's list goes on otherwise behind the word that comes last in both: all tokens
of the second round are the same, and only what followed in the first is not.
"""

import numpy as np

from mcq_jax.prompts.pairs import Pair, PairSet
from mcq_jax.prompts.synthetic import WORDS

# Words of the first round, and of the second.
FIRST, SECOND = 6, 3


def word_repetition(count: int = 60, *, seed: int = 0) -> PairSet:
    """Returns pairs whose four answers are words of the list, gold drawn evenly."""
    if count < 1:
        raise ValueError(f"{count} pairs were asked for; give at least one.")
    generator = np.random.default_rng(seed)
    pairs: dict[str, Pair] = {}
    while len(pairs) < count:
        words = [str(word) for word in generator.permutation(WORDS)[:FIRST]]
        pair = _pair(words, gold=len(pairs) % 4)
        pairs.setdefault(pair.content_id, pair)
    return PairSet(pairs=tuple(pairs.values()))


def _pair(words: list[str], *, gold: int) -> Pair:
    after, other = words[SECOND], words[SECOND + 1]
    swapped = [*words[:SECOND], other, after, *words[SECOND + 2 :]]
    foils = [other, words[SECOND + 2], words[0]]
    answers = [*foils[:gold], after, *foils[gold:]]
    repeated = words[:SECOND]
    return Pair(
        clean=" ".join(["Words:", *words, *repeated]),
        source=" ".join(["Words:", *swapped, *repeated]),
        answers=tuple(f" {word}" for word in answers),
        gold=gold,
        source_gold=answers.index(other),
    )
