"""Positions counted from the end of each row, for edits and captures."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Int

from mcq_jax.arguments import as_integers, as_whole_numbers
from mcq_jax.axes import AnyArray
from mcq_jax.interventions.edits import is_concrete


def last(lengths: Int[AnyArray, " row"] | Sequence[int]) -> Int[Array, "row one"]:
    """Returns each row's last position, its answer position in a prompt."""
    return from_end(1, lengths)


def from_end(
    count: int | Sequence[int], lengths: Int[AnyArray, " row"] | Sequence[int]
) -> Int[Array, "row selected"]:
    """Returns each row's position `count` tokens from the end; 1 is the last.

    Several counts give several positions, in the order of the counts.
    """
    counts = np.array(as_integers(count, "counts of tokens from the end"), np.int32)
    ends = as_whole_numbers(lengths, "lengths")
    if ends.ndim != 1:
        raise ValueError(
            f"lengths have shape {ends.shape}; give each row's number of tokens."
        )
    if (counts < 1).any():
        raise ValueError(f"{count} tokens from the end; 1 is the last token.")
    is_known = isinstance(lengths, Sequence) or is_concrete(lengths)
    if is_known and counts.max() > np.min(lengths):
        raise ValueError(
            f"{counts.max()} tokens from the end of a row of {np.min(lengths)} "
            "tokens; leave out the short rows or count fewer tokens."
        )
    return ends[:, None] - counts[None]
