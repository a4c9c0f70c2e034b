"""Models of one's own, trained from a stream of tokens: start reading in `training`."""

from mcq_jax.training.config import Branch, Member, TrainingConfig, log_spaced
from mcq_jax.training.initialisation import initialise
from mcq_jax.training.kept import read_curve
from mcq_jax.training.losses import next_token_loss, token_losses
from mcq_jax.training.stream import Batch, TokenFile, TokenStream
from mcq_jax.training.training import Trained, train

__all__ = [
    "Batch",
    "Branch",
    "Member",
    "TokenFile",
    "TokenStream",
    "Trained",
    "TrainingConfig",
    "initialise",
    "log_spaced",
    "next_token_loss",
    "read_curve",
    "token_losses",
    "train",
]
