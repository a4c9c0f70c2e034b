"""Interventions on any JAX function whose author named values for `remat`."""

from mcq_jax.tagged.edits import TagCapture, TagEdit, add, apply, patch, scale
from mcq_jax.tagged.haiku_models import tag_haiku
from mcq_jax.tagged.run import TaggedRun, check, run, sites
from mcq_jax.tagged.sites import TaggedSite, describe

__all__ = [
    "TagCapture",
    "TagEdit",
    "TaggedRun",
    "TaggedSite",
    "add",
    "apply",
    "check",
    "describe",
    "patch",
    "run",
    "scale",
    "sites",
    "tag_haiku",
]
