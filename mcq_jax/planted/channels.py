"""The residual stream of a planted model, as named orthogonal directions.

Every part of the circuit says what it reads and writes in these names, so turning the
basis turns all weights alike and changes no result.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

# The most options a planted model can be asked about; labels are A to J.
LETTERS = 10
# Words that questions are made of.
WORDS = 12

# Rows are directions: any number of them, which "_" leaves open.
Directions = Float[np.ndarray, "_ width"]


def _rows(count: int):
    return dataclasses.field(metadata={"rows": count})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channels:
    """What stands where: one orthonormal row per thing that can be said."""

    # Written by the embedding: 1 on every token; on BOS; on a label; on a word; on the
    # answer cue; which word; which letter.
    constant: Directions = _rows(1)
    bos: Directions = _rows(1)
    label: Directions = _rows(1)
    is_word: Directions = _rows(1)
    cue: Directions = _rows(1)
    word: Directions = _rows(WORDS)
    letter: Directions = _rows(LETTERS)
    # 1 / (1 + labels so far); which line this is; whether it is a line at all.
    count: Directions = _rows(1)
    ordinal: Directions = _rows(LETTERS)
    in_option: Directions = _rows(1)
    # On an option's word: the letter of its line.
    bound_letter: Directions = _rows(LETTERS)
    # At the cue: the word asked for; line and letter each gatherer found (summed); line
    # and letter agreed on; the answer; how many correct-letter heads have spoken.
    target: Directions = _rows(WORDS)
    found_ordinal: Directions = _rows(LETTERS)
    found_letter: Directions = _rows(LETTERS)
    wanted_ordinal: Directions = _rows(LETTERS)
    wanted_letter: Directions = _rows(LETTERS)
    out: Directions = _rows(LETTERS)
    flag: Directions = _rows(1)
    # Written by distractors and read by nothing that matters.
    junk: Directions = _rows(LETTERS)
    inert: Directions = _rows(22)


_SIZES = {field.name: field.metadata["rows"] for field in dataclasses.fields(Channels)}
WIDTH = sum(_SIZES.values())


def make_channels(basis: Float[np.ndarray, "width width"]) -> Channels:
    """Returns the channels as consecutive rows of an orthogonal matrix."""
    ends = np.cumsum(list(_SIZES.values()))
    parts = np.split(basis, ends[:-1])
    return Channels(**dict(zip(_SIZES, parts, strict=True)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineEnds:
    """What the line breaks of some circuits hold, in directions that others leave."""

    # Written by the embedding of a line break.
    line_break: Directions
    # Which word stands on its line; whether it is the one asked for.
    line_word: Directions
    is_right: Directions


def with_line_ends(channels: Channels) -> tuple[Channels, LineEnds]:
    """Returns the channels with fewer inert ones, and what these are now for."""
    sizes = np.cumsum([1, WORDS, 1])
    line_break, line_word, is_right, inert = np.split(channels.inert, sizes)
    found = LineEnds(line_break=line_break, line_word=line_word, is_right=is_right)
    return dataclasses.replace(channels, inert=inert), found


def random_basis(
    size: int, generator: np.random.Generator
) -> Float[np.ndarray, "width width"]:
    """Returns a uniformly drawn orthogonal matrix."""
    orthogonal, triangle = np.linalg.qr(generator.normal(size=(size, size)))
    return orthogonal * np.sign(np.diag(triangle))[None]
