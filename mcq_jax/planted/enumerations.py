"""Texts in a planted model's words that ask nothing: lists, and labels in a row."""

import numpy as np

from mcq_jax.planted import asking
from mcq_jax.prompts import ListedText

KINDS = ("list", "row")


def texts(per_kind: int, *, seed: int = 0) -> tuple[ListedText, ...]:
    """Returns different texts of both kinds, `per_kind` of each.

    A list has a line for each item, a row none; labels are in a drawn order.
    """
    generator = np.random.default_rng(seed)
    found: dict[str, ListedText] = {}
    for kind in KINDS:
        mine: dict[str, ListedText] = {}
        while len(mine) < per_kind:
            drawn = _draw(kind, generator)
            mine.setdefault(drawn.text, drawn)
        found |= mine
    return tuple(found.values())


def _draw(kind: str, generator: np.random.Generator) -> ListedText:
    count = int(generator.integers(3, 6))
    labels = generator.permutation(asking.LABELS[:count])
    words = generator.permutation(asking.OPTION_WORDS)[:count]
    text = f"Which is {asking.OPTION_WORDS[int(generator.integers(12))]} ?"
    places = []
    for label, word in zip(labels, words, strict=True):
        text += "\n" if kind == "list" else " "
        places.append((len(text), len(text) + 1))
        text += f"{label} . {word} is"
    return ListedText(text=f"{text} :", kind=kind, enumerators=tuple(places))
