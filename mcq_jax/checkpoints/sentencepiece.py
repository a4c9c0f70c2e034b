"""SentencePiece vocabularies: pieces with scores, spaces as "▁", bytes as a fallback.

The library knows merges, not scores, so they are recovered: every way to cut a piece
into two pieces is a merge, and better pieces are merged first.
"""

import dataclasses
import math
import operator
from collections.abc import Mapping, Sequence

import tokenizers
from tokenizers import decoders, models, normalizers

# How pieces spell a space.
SPACE = "▁"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pieces:
    """A SentencePiece vocabulary, in the order of token ids."""

    texts: Sequence[str]
    # The higher, the earlier it is merged.
    scores: Sequence[float]
    # The text of the token for what has no piece.
    unknown: str | None
    # Whether text begins as if a space stood before it.
    has_space_first: bool

    def __post_init__(self):
        if not all(map(math.isfinite, self.scores)):
            raise ValueError("The vocabulary has scores that are no numbers.")
        if max(map(len, self.texts), default=0) > _LONGEST:
            raise ValueError(f"The vocabulary has pieces beyond {_LONGEST} characters.")


# Trainers stop at a few dozen characters; cutting up longer ones would take for ever.
_LONGEST = 1000


def build_tokenizer(pieces: Pieces) -> tokenizers.Tokenizer:
    """Returns the tokenizer that joins neighbours, best piece first."""
    vocabulary = {text: index for index, text in enumerate(pieces.texts)}
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=_merges(vocabulary, pieces.scores),
            unk_token=pieces.unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaces = normalizers.Replace(" ", SPACE)
    steps: list = [decoders.Replace(SPACE, " "), decoders.ByteFallback()]
    steps.append(decoders.Fuse())
    if pieces.has_space_first:
        spaces = normalizers.Sequence([normalizers.Prepend(SPACE), spaces])
        steps.append(decoders.Strip(content=" ", left=1))
    tokenizer.normalizer = spaces  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.Sequence(steps)  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer


def _merges(
    vocabulary: Mapping[str, int], scores: Sequence[float]
) -> list[tuple[str, str]]:
    """All merges, best piece first; of one piece's, the longest beginning first."""
    found = []
    for text, score in zip(vocabulary, scores, strict=True):
        for cut in range(1, len(text)):
            first, second = text[:cut], text[cut:]
            if first in vocabulary and second in vocabulary:
                order = (-score, -cut, cut - len(text))
                found.append((order, (first, second)))
    found.sort(key=operator.itemgetter(0))
    return [merge for _, merge in found]
