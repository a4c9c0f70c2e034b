"""Whether a circuit cleans up as its model trains: events and outcomes of a study."""

from mcq_jax.training.cleaning.events import smoothed, step_flat, step_learned
from mcq_jax.training.cleaning.outcomes import log_nodes, overlap
from mcq_jax.training.cleaning.planted import planted_outcomes

__all__ = [
    "log_nodes",
    "overlap",
    "planted_outcomes",
    "smoothed",
    "step_flat",
    "step_learned",
]
