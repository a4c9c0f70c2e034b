"""Golds permuted: the null that says which option is right does not matter."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int, Shaped

Golds = Int[np.ndarray, " prompt"]


def permuted_golds(
    gold: Golds, question: Shaped[np.ndarray, " prompt"], *, choices: int, seed: int
) -> Callable[[], Golds]:
    """Returns a function that draws golds under the null, anew at each call.

    With rotations a question's golds are shifted by one common random number of places:
    that makes another option of the question the right one in all rotations. Shuffling
    the golds of one question among its rotations would break that tie and give a null
    too narrow by up to sqrt(choices - 1) for a model that likes one wrong option
    wherever it stands. With one prompt per question, golds are permuted across
    questions.
    """
    names, index = np.unique(question, return_inverse=True)
    generator = np.random.default_rng(seed)

    def draw() -> Golds:
        if len(names) == len(gold):
            return generator.permutation(gold)
        shift = generator.integers(choices, size=len(names))
        return (gold + shift[index]) % choices

    return draw
