"""Which texts say the same to a reader, and which questions are one and the same.

A question is known by its content, not by its id, its subject or the order of its
options: a data set may hold it twice. Splits, intervals and sources go by the content.
"""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Shaped


class AsksSomething(Protocol):
    """What has an id for people and a content: tokenised prompts, for example."""

    @property
    def question(self) -> str: ...

    @property
    def content_id(self) -> str: ...


def normalised(text: str) -> str:
    """Returns the text as a reader sees it; equal results are no two options.

    Unicode's NFKC, without what that makes of raised, lowered, circled and other styled
    characters (10² is not 102, nor ℝ an R); invisible characters dropped; white space
    of any kind and length one space, none at the ends. Case is kept: of the genotypes
    Aa and aa one may be right.
    """
    if not text.isascii():
        folded = map(_folded, unicodedata.normalize("NFC", text))
        text = unicodedata.normalize("NFC", "".join(folded))
    return " ".join(text.split())


def content_id(text: str, options: Sequence[str], *right: str) -> str:
    """Returns a hash of a text, its options in any order, and what answers it."""
    parts = [normalised(text), sorted(map(normalised, options))]
    parts += sorted(map(normalised, right))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def question_names(
    prompts: Sequence[AsksSomething],
) -> Shaped[np.ndarray, " prompt"]:
    """Returns for every prompt the id of the first prompt that asks the same question.

    This is the unit of every split and interval: prompts of one content have one name,
    whatever their own ids, also across several lists of prompts given as one.
    """
    names: dict[str, str] = {}
    contents: dict[str, str] = {}
    for prompt in prompts:
        name = names.setdefault(prompt.content_id, prompt.question)
        if contents.setdefault(name, prompt.content_id) != prompt.content_id:
            raise ValueError(
                f"Two different questions have the id {name!r}; give each an id of its "
                "own, or none."
            )
    return np.array([names[prompt.content_id] for prompt in prompts])


def require_characters(text: str, what: str) -> None:
    """Refuses half a character, which JSON can hold and no text file or tokenizer."""
    for place, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise ValueError(
                f"Character {place} of {what} is half a character "
                f"({character.encode('ascii', 'backslashreplace').decode()}, a lone "
                "surrogate); write the whole character, or leave it out."
            )


# What NFKC would make another text for the eye: of "10²", "102".
_STYLED = ("<super>", "<sub>", "<font>", "<fraction>", "<circle>", "<square>")
# Soft hyphen, zero-width space, direction marks, word joiner, byte order mark.
_INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff"


def _folded(character: str) -> str:
    if character in _INVISIBLE:
        return ""
    if unicodedata.decomposition(character).startswith(_STYLED):
        return character
    return unicodedata.normalize("NFKC", character)
