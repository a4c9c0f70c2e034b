"""`TokenStream`: what a model is trained on, a pure function of the step.

A stream has no state. Whoever knows its arguments knows every batch of it, so a run
that was killed goes on with the batch that it would have had.
"""

import dataclasses
import functools
import os
from typing import Protocol

import jax
import numpy as np
from jaxtyping import Float, Int

from mcq_jax.arguments import as_integer, as_path
from mcq_jax.axes import AnyArray


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """The tokens of one step. Rows of several models lie `[model, row, time]`."""

    # int32; what pads a row on the right has weight 0.
    ids: Int[AnyArray, "*model row time"]
    # float32: how much it counts that a token is predicted from those before it. That
    # of a row's first token is not read: nothing stands before it.
    weights: Float[AnyArray, "*model row time"]


class TokenStream(Protocol):
    """Batches of one shape, by the step that they are for."""

    def batch(self, step: int) -> Batch:
        """Returns the batch of a step (0, 1, …): the same whenever it is asked for."""
        ...


class TokenFile:
    """A file of tokens, read in windows whose order a seed shuffles anew every epoch.

    The file is mapped, not read: it may be larger than memory. Every epoch begins at
    another token, so that windows are not cut at the same places again.
    """

    def __init__(self, path: str | os.PathLike, *, rows: int, time: int, seed: int = 0):
        """Opens it.

        Args:
            path: a `.npy` of whole numbers `[token]`, as `np.save` writes it.
            rows: windows of a batch.
            time: tokens of a window.
            seed: of the order.
        """
        path = as_path(path, "a file of tokens")
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
        if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
            raise ValueError(
                f"{path} holds {tokens.dtype} of shape {tokens.shape}; give whole "
                "numbers in one axis, all texts one after another."
            )
        self._tokens, self._seed = tokens, as_integer(seed, "a seed")
        self._rows, self._time = as_integer(rows, "rows"), as_integer(time, "time")
        # One window less than there are, so that an epoch may begin later.
        self._windows = len(tokens) // max(self._time, 1) - 1
        if not 1 <= self._rows <= self._windows:
            raise ValueError(
                f"{path} has {len(tokens)} tokens, too few for batches of {rows} rows "
                f"of {time}; give at least {(self._rows + 1) * self._time}."
            )
        self._order = functools.lru_cache(maxsize=2)(self._draw_order)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch; windows that fill none wait for the next order."""
        return self._windows // self._rows

    def batch(self, step: int) -> Batch:
        """Returns the windows of a step, all of weight 1."""
        step = as_integer(step, "a step")
        if step < 0:
            raise ValueError(f"a step of {step}; they are counted from 0.")
        epoch, index = divmod(step, self.steps_per_epoch)
        start, order = self._order(epoch)
        windows = order[index * self._rows : (index + 1) * self._rows]
        places = start + windows[:, None] * self._time + np.arange(self._time)
        ids = self._tokens[places].astype(np.int32)
        return Batch(ids, np.ones(ids.shape, np.float32))

    def _draw_order(self, epoch: int) -> tuple[int, np.ndarray]:
        """Where an epoch's first window begins, and its windows' order."""
        generator = np.random.default_rng((self._seed, epoch))
        return int(generator.integers(self._time)), generator.permutation(self._windows)
