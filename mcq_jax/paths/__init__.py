"""Path patching: what one node passes on to another."""

from mcq_jax.checked_calls import check_calls
from mcq_jax.paths.inputs import read_with, written_by
from mcq_jax.paths.paths import patch_paths, paths_from
from mcq_jax.paths.walk import PATH_SITES
from mcq_jax.paths.wired import WIRED_SITES, run_wired
from mcq_jax.paths.wires import TokenEdge, Wire, Wiring, random_like, random_paths

__all__ = [
    "PATH_SITES",
    "WIRED_SITES",
    "TokenEdge",
    "Wire",
    "Wiring",
    "patch_paths",
    "paths_from",
    "random_like",
    "random_paths",
    "read_with",
    "run_wired",
    "written_by",
]

check_calls(__name__)
