"""`largest_fitting`: the search for a chunk, when every trial is a compilation."""

from collections.abc import Callable, Sequence

from mcq_jax.planning.passes import Chunk


def largest_fitting(
    chunks: Sequence[Chunk],
    measure: Callable[[Chunk], float | None],
    room: float,
    *,
    expect: Callable[[Chunk], float],
) -> tuple[Chunk, Chunk | None, float | None]:
    """Returns the largest chunk that fits, the one after it, and what that would take.

    Both are measured, unless there is only one. On the way there memory is taken to
    grow as expected, so that few chunks need be.
    """
    found: dict[int, float | None] = {}

    def fits(index: int) -> bool:
        if index not in found:
            found[index] = measure(chunks[index])
        size = found[index]
        return size is not None and size <= room

    expected = [expect(chunk) for chunk in chunks]
    low, high = -1, len(chunks)
    while high - low > 1:
        guess = _last_that_should_fit(expected, found, room)
        if found.get(high, 0) is None:  # how much too large it was is not known
            guess = min(guess, (low + high) // 2)
        guess = min(max(guess, low + 1), high - 1)
        if fits(guess):
            low = guess
        else:
            high = guess
    if low < 0:
        size = found[0]
        needs = "more memory than" if size is None else f"{size / 1e9:.1f} GB of"
        raise ValueError(
            f"the smallest chunk tried, {chunks[0]}, needs {needs} the "
            f"{room / 1e9:.1f} GB of a chip; use a larger slice, a larger model axis, "
            "or --fully-sharded."
        )
    following = chunks[high] if high < len(chunks) else None
    return chunks[low], following, found.get(high)


def _last_that_should_fit(expected, found, room) -> int:
    """The last chunk whose memory, corrected by those measured, is within the room."""
    known = sorted((expected[i], size) for i, size in found.items() if size)
    slope, (at, size) = 1.0, known[0] if known else (0.0, 0.0)
    if len(known) > 1:
        slope = max(known[-1][1] - size, 1) / (known[-1][0] - at)
    should = [i for i, e in enumerate(expected) if size + slope * (e - at) <= room]
    return max(should, default=0)
