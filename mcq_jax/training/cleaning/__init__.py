"""Whether a model's circuit cleans up as it trains: events and outcomes of the study."""

from mcq_jax.training.cleaning.events import smoothed, step_flat, step_learned
from mcq_jax.training.cleaning.outcomes import log_nodes, overlap

__all__ = ["log_nodes", "overlap", "smoothed", "step_flat", "step_learned"]
