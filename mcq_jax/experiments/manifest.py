"""`make_manifest`: what makes two runs the same, and what is good to know about one."""

import datetime
import importlib.metadata
import pathlib
import platform
import subprocess
from collections.abc import Mapping

import jax

from mcq_jax import sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.prompt_options import read_moment
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.results import ENGINE_VERSION, RunFolder, fingerprint, key_of
from mcq_jax.results.table import told


def moment_of(path: str) -> datetime.datetime:
    """Returns when the run in this folder began: now, if there is none.

    It is what chat templates write into the prompts, so a resumed run keeps its own.
    """
    now = datetime.datetime.now().isoformat(timespec="seconds")
    stored = RunFolder.manifest_at(path) or {}
    # Folders of before have none. Of several hosts, the first one's clock goes.
    moment = told(lambda: stored.get("moment", now))
    return read_moment(moment, f"the moment in {path}/manifest.json")


def make_manifest(
    config: RunConfig,
    checkpoint: Checkpoint,
    prompts: Mapping[str, PromptSet],
    moment: datetime.datetime | None = None,
) -> dict:
    """Returns a run's manifest; its `identity` must be equal for a run to go on.

    It says of which numbers and prompts everything in the folder is. What experiments
    are asked for is not part of it: that is in the keys of their tables.

    Args:
        moment: when the run began, as `moment_of` says; now, if left out.
    """
    moment = moment or datetime.datetime.now()
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
        "moment": moment.isoformat(timespec="seconds"),
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
