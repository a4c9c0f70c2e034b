"""`run_chunks`: chunks of prompts over the devices there are, and their results home.

The one place between experiments and the mesh: those say what is done with some
prompts, and get numpy arrays for each chunk, however many devices and hosts had them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from mcq_jax.sharding.placement import data_parts, fill_data_axis, on_every_host
from mcq_jax.sharding.stopping import check_stop

# Places of prompts in a list of them.
Chunk = Int[np.ndarray, " _"]
Track = Callable[[Sequence[Any]], Iterable[Any]]


def run_chunks(
    chunks: Sequence[Chunk], work: Callable[[Chunk], Any], *, track: Track = iter
) -> Iterator[Any]:
    """Yields what `work` makes of each chunk, as numpy arrays on every host.

    Chunks that are too small to go round the data axis run side by side; what is then
    missing is filled with dummies, whose rows are dropped.

    Args:
        chunks: the same on every host.
        work: from prompts `[prompt]` to a tree of arrays `[prompt, …]`.
        track: wraps what runs at once, for a bar.
    """
    for together in track(_side_by_side(chunks)):
        check_stop()
        prompts = np.concatenate(together)
        found = on_every_host(work(fill_data_axis(prompts)))
        start = 0
        for chunk in together:
            rows = slice(start, start + len(chunk))
            yield jax.tree.map(lambda a: a[rows], found)  # noqa: B023
            start += len(chunk)


def _side_by_side(chunks: Sequence[Chunk]) -> list[Sequence[Chunk]]:
    if not chunks:
        return []
    count = max(1, data_parts() // len(chunks[0]))
    return [chunks[i : i + count] for i in range(0, len(chunks), count)]
