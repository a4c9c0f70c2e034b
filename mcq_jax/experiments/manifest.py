"""`make_manifest`: what makes two runs the same, and what is good to know about one."""

import dataclasses
import importlib.metadata
import pathlib
import platform
import subprocess

import jax

from mcq_jax import sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.results import content_hash

# Where a checkpoint lies, what a run is called and what it runs on do not change what
# it finds (but for rounding).
_NOT_PLAN = ("title", "out", "model", "mesh", "fully_sharded")


def make_manifest(config: RunConfig, checkpoint: Checkpoint, asked: PromptSet) -> dict:
    """Returns a run's manifest; its `identity` must be equal for a run to go on."""
    mesh = jax.sharding.get_mesh()
    plan = dataclasses.asdict(config)
    prompts = [
        [prompt.ids.tolist(), prompt.answer_ids.tolist(), prompt.gold, prompt.question]
        for prompt in asked.prompts
    ]
    versions = {
        name: importlib.metadata.version(name)
        for name in ("jax", "jaxlib", "dm-haiku", "numpy")
    }
    return {
        "identity": {
            "weights": checkpoint.content_hash,
            "prompts": content_hash(prompts),
            **{name: value for name, value in plan.items() if name not in _NOT_PLAN},
        },
        "title": config.title,
        "model": config.model,
        "versions": versions | {"python": platform.python_version()},
        "device": str(jax.devices()[0].device_kind),
        "mesh": "one device" if mesh.empty else str(sharding.shape_of(mesh)),
        "processes": jax.process_count(),
        "matmul_precision": "highest",
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
