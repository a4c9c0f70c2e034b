"""Rows whose answers nearly tie in low precision, run again with float32 activations.

Between answers closer than rounding the model has not chosen. The weights stay what
they are; only what flows between them is kept in float32, and of the bank as much as
these prompts and their sources need.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mcq_jax import sharding
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.sharding import Chunk
from mcq_jax.sweeps.bank import Bank, bank_of_some, fill_bank
from mcq_jax.sweeps.chunk_work import ChunkWork
from mcq_jax.sweeps.outcomes import Outcome
from mcq_jax.sweeps.sources import Sources

# Of the largest answer logit: two answers nearer than this may be so by rounding, in
# bfloat16 (whose numbers are 1/256 apart, and whose errors add up over layers).
NEAR = 1 / 64
# The column that says what was run again.
RERUN = "rerun"
_MARGIN = "margin between the two best answers"
_PRECISE = jnp.dtype(jnp.float32)


def margin(outcome: Outcome) -> Float[Array, ""]:
    """By how much the best answer leads, as a share of the largest logit."""
    logits = outcome.patched.logits
    second, best = jnp.sort(logits)[-2:]
    return (best - second) / jnp.abs(logits).max()


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithReruns:
    """Does a chunk's work, and again what nearly ties; adds the column `rerun`."""

    work: ChunkWork
    # The prompts with all of their tokens.
    whole: Sequence[TokenisedPrompt]
    # Prompts of one pass, where the bank is filled.
    prompts_at_once: int

    def __call__(self, chunk: Chunk) -> dict[str, np.ndarray]:
        metrics = (*self.work.metrics, (_MARGIN, margin))
        found = dataclasses.replace(self.work, metrics=metrics)(chunk)
        values = sharding.on_every_host(found)
        near = values.pop(_MARGIN) < NEAR
        rows = np.flatnonzero(near.any(axis=(0, 1)))
        if len(rows):
            again = self._again(chunk, rows)
            for name, value in values.items():
                chosen = near[:, :, rows]
                chosen = chosen.reshape(*chosen.shape, *(1,) * (value.ndim - 3))
                values[name] = value.copy()
                values[name][:, :, rows] = np.where(
                    chosen, again[name], value[:, :, rows]
                )
        return {**values, RERUN: near}

    def _again(self, chunk: Chunk, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics of some rows; filled up to a power of 2, for the sake of programs."""
        size = 1 << (len(rows) - 1).bit_length()
        filled = np.pad(rows, (0, size - len(rows)), mode="edge")
        work = dataclasses.replace(
            self.work, asked=self.whole, plan=self.work.plan.take(filled),
            bank=self._bank_for(chunk), prefix=None, activations=_PRECISE,
        )  # fmt: skip
        found = sharding.on_every_host(work(chunk))
        return {name: value[:, :, : len(rows)] for name, value in found.items()}

    def _bank_for(self, chunk: Chunk) -> Bank:
        """A bank with float32 activations in which these and their sources are filled.

        Of other prompts it holds zeros.
        """
        everyone, sources = np.arange(len(self.whole)), self.work.sources
        needed = everyone
        if isinstance(sources, Sources):
            needed = np.union1d(chunk, sources.index[chunk])
        missing = [place for place in needed.tolist() if place not in self._filled]
        if missing:
            # Batches of one size share programs: others that will be needed fill up.
            others = np.setdiff1d(everyone, [*self._filled, *missing])
            missing += others[: -len(missing) % self.prompts_at_once].tolist()
            bank = fill_bank(
                self.work.parameters, [self.whole[place] for place in missing],
                self.work.plan, self.work.config, self.prompts_at_once,
                activations=_PRECISE,
            )  # fmt: skip
            for number, place in enumerate(missing):
                self._filled[place] = bank.take(number)
        found = {place: self._filled[place] for place in needed.tolist()}
        return bank_of_some(found, len(self.whole))

    @functools.cached_property
    def _filled(self) -> dict[int, Bank]:
        """Banks of single prompts, by their places: those that were needed so far."""
        return {}
