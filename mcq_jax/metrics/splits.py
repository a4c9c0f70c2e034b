"""Splits that keep whole questions (or whole subjects) on one side.

The side of a question depends on the set of questions and the seed, not on their order,
and the sides have the sizes asked for: with a dozen questions a coin for each would
leave three to test on.
"""

import hashlib

import numpy as np
from jaxtyping import Bool, Shaped


def split_by_question(
    question: Shaped[np.ndarray, " prompt"], *, fraction: float, seed: int = 0
) -> Bool[np.ndarray, " prompt"]:
    """Returns True for the prompts of `fraction` of the questions.

    The true side is for choosing (nodes, thresholds, bases), the other for testing.
    """
    return _split(question, fraction=fraction, seed=seed, unit="question")


def split_by_subject(
    subject: Shaped[np.ndarray, " prompt"], *, fraction: float, seed: int = 0
) -> Bool[np.ndarray, " prompt"]:
    """Returns True for the prompts of `fraction` of the subjects.

    The stress split: what was chosen on some subjects must hold on others. No
    experiment of ours makes it yet; one may.
    """
    return _split(subject, fraction=fraction, seed=seed, unit="subject")


def _split(
    unit_of: np.ndarray, *, fraction: float, seed: int, unit: str
) -> Bool[np.ndarray, " prompt"]:
    if not 0 < fraction < 1:
        raise ValueError(
            f"A split needs a fraction strictly between 0 and 1; found {fraction}."
        )
    names, index = np.unique(unit_of, return_inverse=True)
    draws = np.array([_draw(str(name), seed) for name in names])
    count = round(fraction * len(names))
    chosen = np.zeros(len(names), bool)
    chosen[np.argsort(draws, kind="stable")[:count]] = True
    if chosen.all() or not chosen.any():
        raise ValueError(
            f"Splitting {len(names)} {unit}s at {fraction} with seed {seed} leaves one "
            f"side empty. Give more {unit}s, or another seed or fraction."
        )
    return chosen[index]


def _draw(name: str, seed: int) -> float:
    """Returns a number in [0, 1) that only the name and the seed decide."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
