"""Models of one's own, trained from a stream of tokens."""

from mcq_jax.training.stream import Batch, TokenFile, TokenStream

__all__ = ["Batch", "TokenFile", "TokenStream"]
