"""Experiments run models and end in findings; `pipeline` is the main job."""

from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.pipeline import run
from mcq_jax.experiments.progress import Progress

__all__ = ["Progress", "RunConfig", "run"]
