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
from mcq_jax.results.identity import (
    ENGINE_VERSION,
    fingerprint,
    key_of,
    weights_fingerprint,
)
from mcq_jax.results.run_folder import RunFolder, content_hash
from mcq_jax.results.storage import Storage
from mcq_jax.results.table import Table

__all__ = [
    "ENGINE_VERSION",
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
    "Table",
    "content_hash",
    "fingerprint",
    "key_of",
    "weights_fingerprint",
]
