"""What a run leaves behind: its folder of tables, and its findings."""

from mcq_jax.results.findings import (
    Asked,
    BehaviourFound,
    Estimate,
    Findings,
    GateFound,
    HeadFound,
    JointFound,
    NodeFound,
    PlantedFound,
    SelectionFound,
)
from mcq_jax.results.run_folder import RunFolder, content_hash
from mcq_jax.results.storage import Storage

__all__ = [
    "Asked",
    "BehaviourFound",
    "Estimate",
    "Findings",
    "GateFound",
    "HeadFound",
    "JointFound",
    "NodeFound",
    "PlantedFound",
    "RunFolder",
    "SelectionFound",
    "Storage",
    "content_hash",
]
