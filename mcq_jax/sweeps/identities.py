"""What a sweep's table is known by, and tables that differ in their labels alone.

A row is known by what it patches. Labels only name it: they are no part of its numbers,
but columns of its table. So a plan under other labels is a table of its own, whose
numbers are taken from the one that has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mcq_jax import sharding
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.passes.plan import Plan
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.results import (
    ENGINE_VERSION,
    RunFolder,
    fingerprint,
    key_of,
    weights_fingerprint,
)
from mcq_jax.sweeps.outcomes import EFFECTS, MetricFunction
from mcq_jax.sweeps.sources import Ablation, Direction, Sources

_LABELS = "labels"


def sweep_identity(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    plan: Plan,
    sources: Sources | Ablation,
    chunks: Sequence[sharding.Chunk],
    weights: str | None = None,
    *,
    config: ModelConfig,
    metrics: Mapping[str, MetricFunction] = EFFECTS,
    direction: Direction = Direction.NOISE,
    full_vocabulary: bool = True,
    by_full_passes: bool = False,
) -> dict[str, Any]:
    """Returns everything that a sweep's table depends on, for `RunFolder.table`.

    Rows of the plan are listed one by one: so tables that hold some of them are known.
    """
    rows = [plan.take(np.array([row])) for row in range(len(plan.births))]
    return {
        "engine": ENGINE_VERSION,
        "weights": weights or weights_fingerprint(parameters),
        "dtype": str(jax.tree.leaves(parameters.layers)[0].dtype),
        "config": config,
        "prompts": [prompt.identity for prompt in asked],
        "rows": [_key_of_row(row) for row in rows],
        _LABELS: plan.labels,
        "sources": sources,
        "metrics": dict(metrics),
        "chunks": list(chunks),
        "direction": direction,
        "full_vocabulary": full_vocabulary,
        "by_full_passes": by_full_passes,
    }


def under_other_labels(
    folder: RunFolder, name: str, identity: Mapping[str, Any], parts: int
) -> dict[str, np.ndarray] | None:
    """Returns the columns of a finished table of the same numbers, if there is one."""
    wanted = _without_labels(fingerprint(identity))
    for key, said in folder.identities(name).items():
        table = folder.table_of(name, key)
        if _without_labels(said) == wanted and not table.missing_parts(parts):
            return table.read()
    return None


def _key_of_row(row: Plan) -> str:
    return key_of({"row": _without_labels(fingerprint(row))})


def _without_labels(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != _LABELS}
