"""`Block`: the keys and values that attention reads."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Block(NamedTuple):
    """Keys (rotated) and values of a stretch of tokens in one layer.

    A shared prefix, a prompt and the tokens after it are separate blocks: attention
    joins their scores, so that many rows can read one prompt's block uncopied.
    """

    keys: Float[Array, "key kv_head head_width"]
    values: Float[Array, "key kv_head head_width"]
    # Where each key stands; a key is read by queries at or after its position.
    positions: Int[Array, " key"]
    # How many keys are real; those behind are padding and never read.
    length: Int[Array, ""]

    @property
    def is_real(self) -> Bool[Array, " key"]:
        """Whether each key is one, or padding."""
        return jnp.arange(self.positions.shape[0]) < self.length
