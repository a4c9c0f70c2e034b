"""Rows of a plan dealt into equal shares, where prompts and sources do not fill a mesh.

The rows of a pass grow with the layers, so their axis cannot be split over devices: it
would be split anew at every step. Instead rows are dealt out beforehand, in order of
birth, to each share in turn. All shares then grow alike, and stand side by side as if
each were a source of its own.
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
    """Into how many shares each source's rows are dealt; 1 leaves all as it is."""

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
        """Each share's rows, in order of birth; the last one fills what is over."""
        over = -self.rows % self.shares
        dealt = np.pad(np.arange(self.rows), (0, over), mode="edge")
        return dealt.reshape(-1, self.shares).T

    def earliest(self, births: Int[np.ndarray, " row"]) -> Int[np.ndarray, " dealt"]:
        """Rows side by side in the shares are born with the first of them."""
        return births[self.order[0]]

    def repeat_sources(self, tree: Any) -> Any:
        """`[layer, prompt, source, …]` to `[layer, prompt, source · share, …]`."""
        if self.shares == 1:
            return tree
        return jax.tree.map(lambda a: jnp.repeat(a, self.shares, axis=2), tree)

    def deal_rows(self, tree: Any) -> Any:
        """`[#prompt, #source, row, …]` to `[#prompt, source · share, row, …]`."""
        if self.shares == 1:
            return tree

        def deal(array):
            dealt = array[:, :, self.order]
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
        rows = in_turn.reshape(*before, self.sources, -1, *after)
        return jax.lax.slice_in_dim(rows, 0, self.rows, axis=axis + 1)
