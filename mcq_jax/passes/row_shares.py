"""Rows of a batch dealt into shares, where prompts and sources do not fill a mesh.

The batches that are born grow with the layers, so their axis cannot be split over
devices: it would be split anew at every step. Instead the rows of each batch are dealt
out beforehand, in order of birth, to each share in turn. All shares then grow alike,
and stand side by side as if each were a source of its own.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from mcq_jax import sharding


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowShares:
    """Into how many shares each source's rows are dealt; 1 leaves all as it is.

    The rows of a batch are a multiple of the shares: `row_groups` sees to it.
    """

    sources: int
    rows: int
    shares: int

    @classmethod
    def that_fill(cls, copies: tuple[int, int], *, rows: int) -> "RowShares":
        """Returns the fewest with which prompts and sources fill the mesh's "data"."""
        shares = sharding.shares_to_fill_data(*copies)
        return cls(sources=copies[1], rows=rows, shares=shares)

    @functools.cached_property
    def order(self) -> Int[np.ndarray, "share dealt"]:
        """Each share's rows, dealt like cards: share s has rows s, s + shares, …"""
        return np.arange(self.rows).reshape(-1, self.shares).T

    def earliest(self, births: Int[np.ndarray, " row"]) -> Int[np.ndarray, " dealt"]:
        """When the shares' first rows are born, their second rows, and so on.

        With the earliest of each: share 0's, since rows lie in order of birth.
        """
        return births[self.order[0]]

    def repeat_sources(self, tree: Any) -> Any:
        """`[layer, prompt, source, …]` to `[layer, prompt, source · share, …]`."""
        if self.shares == 1:
            return tree
        return jax.tree.map(lambda a: jnp.repeat(a, self.shares, axis=2), tree)

    def deal_batches(self, tree: Any, batches: range) -> Any:
        """`[#prompt, #source, #row, …]` of whole batches: some of them, each dealt.

        With shares they are `[#prompt, source · share, row, …]`, batches side by side.
        """
        places = np.arange(batches.start, batches.stop)[:, None, None] * self.rows
        places = np.moveaxis(places + self.order, 1, 0)  # [share, batch, dealt]

        def deal(array):
            if array.shape[2] == 1:  # all rows share it
                one = array.shape[1] == 1
                return array if one else array.repeat(self.shares, axis=1)
            if self.shares == 1:
                return array[:, :, places[0, 0, 0] : places[0, -1, -1] + 1]
            dealt = array[:, :, places.reshape(self.shares, -1)]
            shape = (len(array), self.sources, *dealt.shape[2:])
            return np.broadcast_to(dealt, shape).reshape(len(array), -1, *shape[3:])

        return jax.tree.map(deal, tree)

    def join(self, array: Array, *, axis: int) -> Array:
        """Results as if rows had not been dealt; `axis` is that of sources."""
        if self.shares == 1:
            return array
        before, after = array.shape[:axis], array.shape[axis + 2 :]
        apart = array.reshape(*before, self.sources, *self.order.shape, *after)
        in_turn = jnp.moveaxis(apart, axis + 1, axis + 2)
        return in_turn.reshape(*before, self.sources, self.rows, *after)
