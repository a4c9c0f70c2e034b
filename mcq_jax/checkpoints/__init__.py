"""Published checkpoints as parameters, config and tokenizer, without torch."""

from mcq_jax.checkpoints.checkpoint import Checkpoint, load

__all__ = ["Checkpoint", "load"]
