"""Texts with enumerations, and where their enumerators stand.

An enumerator is what tells the items of a list apart: a letter, a number, a bullet, an
ordinal in a sentence, a case of a switch. Own texts are made of templates; a file of
other people's has one text a line.
"""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.prompts import text_pools
from mcq_jax.prompts.lines import read_records
from mcq_jax.prompts.tokenizer import Tokenizer

KINDS = ("prose", *text_pools.LINES, "code")
# Fewer enumerators are no enumeration.
FEWEST = 2
# Behind an enumerator so many tokens at most count as its item.
LONGEST_ITEM = 12

# At the beginning of a line, within a sentence, and in code.
_PATTERNS = (
    r"^[ \t]*(?:#[ \t]*)?\(?(?:(?:Step|Part)[ \t]+)?([A-Za-z]|\d{1,2})[ \t]?[.):][ \t]",
    r"^[ \t]*([-*•])[ \t]",
    r"[ \t]\(([A-Za-z]|\d{1,2})\)[ \t]",
    r"\b(first|second|third|fourth|fifth),[ \t]",
    r"\bcase[ \t]+([A-Za-z]|\d{1,2}):",
)
_ENUMERATORS = [re.compile(pattern, re.MULTILINE) for pattern in _PATTERNS]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListedText:
    """A text of some kind; enumerators are characters [start, end), in order."""

    text: str
    kind: str
    enumerators: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenisedText:
    """The same as tokens."""

    kind: str
    ids: Int[np.ndarray, " position"]
    # What each token covers; "" for tokens that the tokenizer adds.
    pieces: tuple[str, ...]
    # Positions of the enumerators, rising.
    enumerators: Int[np.ndarray, " item"]

    def items(self) -> list[Int[np.ndarray, "_"]]:
        """Each item's tokens, its enumerator first."""
        ends = [*self.enumerators[1:].tolist(), len(self.ids)]
        return [
            np.arange(start, min(end, start + LONGEST_ITEM))
            for start, end in zip(self.enumerators.tolist(), ends, strict=True)
        ]

    def readers(self) -> Bool[np.ndarray, " position"]:
        """Tokens behind the first enumerator, which have one to look at."""
        return np.arange(len(self.ids)) > self.enumerators[0]


def find_enumerators(text: str) -> tuple[tuple[int, int], ...]:
    """Returns the characters of all enumerators, in order."""
    found = {match.span(1) for p in _ENUMERATORS for match in p.finditer(text)}
    return tuple(sorted(found))


def own_texts(per_kind: int = 36, *, seed: int = 0) -> tuple[ListedText, ...]:
    """Returns short texts of every kind, different ones, made of our own words."""
    generator = np.random.default_rng(seed)
    found: dict[str, str] = {}
    for kind in KINDS:
        mine: dict[str, str] = {}
        for _ in range(50 * per_kind):
            if len(mine) == per_kind:
                break
            mine.setdefault(_draw(kind, generator), kind)
        found |= mine
    return tuple(_listed(text, kind) for text, kind in found.items())


def read_texts(path: str | pathlib.Path) -> tuple[ListedText, ...]:
    """Reads a JSONL file: `{"text": …}` a line, and `"kind": …` if there are several.

    Raises:
        ValueError: names the file and the line of what is missing, and of a text with
            fewer than two enumerators.
    """
    found = []
    for place, record in read_records(path):
        unknown = sorted(set(record) - {"text", "kind"})
        if unknown:
            raise ValueError(f"{place} has {unknown}; give text and kind alone.")
        text, kind = record.get("text"), record.get("kind", "text")
        if not isinstance(text, str) or not isinstance(kind, str) or not kind:
            raise ValueError(
                f"{place} has a text of type {type(text).__name__} and a kind of type "
                f"{type(kind).__name__}; give strings."
            )
        listed = _listed(text, kind)
        if len(listed.enumerators) < FEWEST:
            raise ValueError(
                f"{place} has {len(listed.enumerators)} enumerators (A. 1) - first, "
                f"case 1:); give texts with at least {FEWEST}."
            )
        found.append(listed)
    if not found:
        raise ValueError(f"{path} holds no text; give one object a line.")
    return tuple(found)


def tokenise_texts(
    texts: Sequence[ListedText], tokenizer: Tokenizer
) -> tuple[TokenisedText, ...]:
    """Returns the texts as tokens; an enumerator is the first token that covers it."""
    found = []
    for listed in texts:
        encoding = tokenizer.encode(listed.text)
        covered = [
            _token_at(first, encoding.offsets, listed.text)
            for first, _ in listed.enumerators
        ]
        found.append(
            TokenisedText(
                kind=listed.kind,
                ids=np.array(encoding.ids, np.int32),
                pieces=tuple(listed.text[a:b] for a, b in encoding.offsets),
                enumerators=np.unique(np.array(covered, np.int32)),
            )
        )
    return tuple(found)


def _token_at(character: int, offsets: Sequence[tuple[int, int]], text: str) -> int:
    """The first token that covers a character."""
    for at, (start, end) in enumerate(offsets):
        if start <= character < end:
            return at
    raise ValueError(
        f"no token covers the enumerator {text[character]!r} at character {character} "
        f"of {text[:40]!r}…; leave the text out, or write the enumerator otherwise."
    )


def _listed(text: str, kind: str) -> ListedText:
    return ListedText(text=text, kind=kind, enumerators=find_enumerators(text))


def _draw(kind: str, generator: np.random.Generator) -> str:
    names = list(text_pools.TOPICS)
    topic = names[generator.integers(len(names))]
    items = [str(item) for item in generator.permutation(text_pools.TOPICS[topic])]
    ending = _any(text_pools.ENDINGS, generator)
    if kind in text_pools.LINES:
        mark = _any(text_pools.LINES[kind], generator)
        lines = [
            mark.format(upper="ABCDEF"[i], lower="abcdef"[i], number=i + 1) + item
            for i, item in enumerate(items[: generator.integers(3, 6)])
        ]
        intro = _any(text_pools.INTRODUCTIONS, generator).format(topic=topic)
        return "\n".join([intro, *lines, ending])
    if kind == "prose":
        pattern = _any(text_pools.PROSE, generator)
        return f"{pattern.format(*items[:3], topic=topic)} {ending}"
    pattern = _any(text_pools.CODE, generator)
    return f"# {topic}\n{pattern.format(*items[:3])}"


def _any(choices: Sequence[str], generator: np.random.Generator) -> str:
    return choices[int(generator.integers(len(choices)))]
