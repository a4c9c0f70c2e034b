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
    chunks: Sequence[Chunk],
    work: Callable[[Chunk], Any],
    *,
    only: Sequence[int] | None = None,
    track: Track = iter,
) -> Iterator[Any]:
    """Yields what `work` makes of each chunk, as numpy arrays on every host.

    Chunks that are too small to go round the data axis run side by side; what is then
    missing is filled with dummies, whose rows are dropped. Neighbours are the same
    whichever chunks are wanted, and so is every bit of the results.

    Args:
        chunks: the same on every host.
        work: from prompts `[prompt]` to a tree of arrays `[prompt, …]`.
        only: which chunks are wanted, in ascending order; all if left out.
        track: wraps what runs at once, for a bar.
    """
    wanted = set(range(len(chunks)) if only is None else only)
    rounds = [r for r in _side_by_side(chunks) if wanted.intersection(r)]
    for together in track(rounds):
        check_stop()
        prompts = np.concatenate([chunks[index] for index in together])
        found = on_every_host(work(fill_data_axis(prompts)))
        start = 0
        for index in together:
            rows = slice(start, start + len(chunks[index]))
            start = rows.stop
            if index in wanted:
                yield jax.tree.map(lambda a: a[rows], found)  # noqa: B023


def prompts_run_at_once(chunk: int) -> int:
    """Returns how many prompts `run_chunks` runs at once for chunks of so many.

    Those of the chunks beside it are counted, and the dummies.
    """
    return len(fill_data_axis(np.arange(chunk * _chunks_at_once(chunk))))


def _chunks_at_once(chunk: int) -> int:
    return max(1, data_parts() // chunk)


def _side_by_side(chunks: Sequence[Chunk]) -> list[range]:
    """Which chunks go together, by their places."""
    if not chunks:
        return []
    count = _chunks_at_once(len(chunks[0]))
    starts = range(0, len(chunks), count)
    return [range(start, min(start + count, len(chunks))) for start in starts]
