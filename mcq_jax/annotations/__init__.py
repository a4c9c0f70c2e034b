"""What an annotation asks for, of a value that somebody hands in."""

from mcq_jax.annotations.taking import Axes, fits, taken
from mcq_jax.annotations.wording import in_words

__all__ = ["Axes", "fits", "in_words", "taken"]
