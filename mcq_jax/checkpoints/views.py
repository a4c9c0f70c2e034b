"""`View`: how one of our arrays is seen in a tensor that is stored otherwise."""

import dataclasses

import numpy as np
from jaxtyping import Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """What to read of a tensor to have one with an array's outputs as its rows."""

    # Which of the tensor's outputs are the array's, in its order, and how many the
    # tensor has in all; None: all of them as they are.
    outputs: Int[np.ndarray, " output"] | None = None
    of: int = 0
    # A matrix that is stored as [input, output].
    is_turned: bool = False
    # Added to every number: gains may be stored as their difference from 1.
    plus: float = 0.0

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the tensor's own shape if the array's is `shape`."""
        if self.outputs is not None:
            shape = (self.of, *shape[1:])
        return shape[::-1] if self.is_turned else shape

    def read(self, tensor, start: int, stop: int) -> np.ndarray:
        """Returns rows of the array from a `StoredTensor`."""
        wanted = np.arange(start, stop)
        wanted = wanted if self.outputs is None else self.outputs[start:stop]
        first, last = int(wanted.min()), int(wanted.max()) + 1
        if self.is_turned:
            rows = tensor.read(0, tensor.shape[0])[:, first:last].T
        else:
            rows = tensor.read(first, last)
        if self.outputs is not None:
            rows = rows[wanted - first]
        return rows + np.float32(self.plus) if self.plus else rows


def one_after_another(*sizes: int) -> list[View]:
    """Returns the views of arrays whose outputs follow one another in a tensor."""
    ends = np.cumsum(sizes)
    return [
        View(outputs=np.arange(end - size, end), of=int(ends[-1]))
        for size, end in zip(sizes, ends, strict=True)
    ]
