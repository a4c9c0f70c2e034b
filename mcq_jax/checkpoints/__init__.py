"""Published checkpoints as parameters, config and tokenizer, without torch."""

from mcq_jax.checkpoints.checkpoint import (
    Checkpoint,
    load,
    read_shape,
    save_checkpoint,
)
from mcq_jax.checkpoints.errors import CheckpointError

__all__ = ["Checkpoint", "CheckpointError", "load", "read_shape", "save_checkpoint"]
