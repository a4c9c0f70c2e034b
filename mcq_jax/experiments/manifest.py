"""`make_manifest`: what makes two runs the same, and what is good to know about one."""

import importlib.metadata
import pathlib
import platform
import subprocess
from collections.abc import Mapping

import jax

from mcq_jax import sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.results import ENGINE_VERSION, fingerprint, key_of


def make_manifest(
    config: RunConfig, checkpoint: Checkpoint, prompts: Mapping[str, PromptSet]
) -> dict:
    """Returns a run's manifest; its `identity` must be equal for a run to go on.

    It says of which numbers and prompts everything in the folder is. What experiments
    are asked for is not part of it: that is in the keys of their tables.
    """
    mesh = jax.sharding.get_mesh()
    versions = {
        name: importlib.metadata.version(name)
        for name in ("jax", "jaxlib", "dm-haiku", "numpy")
    }
    return {
        "identity": {
            "engine": ENGINE_VERSION,
            "weights": checkpoint.content_hash,
            "weights_as": config.weights_as,
            "dtype": config.dtype,
            "prompts": {
                name: key_of({"prompts": one.identity}) for name, one in prompts.items()
            },
        },
        "title": config.title,
        "model": config.model,
        "versions": versions | {"python": platform.python_version()},
        "device": str(jax.devices()[0].device_kind),
        "mesh": "one device" if mesh.empty else str(sharding.shape_of(mesh)),
        "processes": jax.process_count(),
        "matmul_precision": "highest",
        "card": fingerprint(config),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of the code that runs, or "" outside a checkout or without git."""
    here = pathlib.Path(__file__).parent
    try:
        asked = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return asked.stdout.strip()
