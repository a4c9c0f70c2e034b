"""Path patching: what one node passes on to another."""

from mcq_jax.paths.paths import patch_paths, paths_from
from mcq_jax.paths.walk import PATH_SITES

__all__ = [
    "PATH_SITES",
    "patch_paths",
    "paths_from",
]
