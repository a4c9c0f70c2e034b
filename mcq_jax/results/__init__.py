"""What a run leaves behind: its folder of tables, and its findings."""

from mcq_jax.results.findings import (
    About,
    BehaviourFindings,
    EarlierPositionsFindings,
    Followed,
    HeadClassesFindings,
    HeadFound,
    HeadKind,
    HeadKindsFindings,
    JointFound,
    JointTestsFindings,
    NodeEffectsFindings,
    NodeFound,
    PlantedTruthFindings,
    QuerySwapsFindings,
    RouteCut,
    RoutesFindings,
    RouteSwap,
    ScreenedFound,
    ScreeningFound,
    SelectionFound,
    SwapsFound,
)
from mcq_jax.results.identity import (
    ENGINE_VERSION,
    fingerprint,
    key_of,
    weights_fingerprint,
)
from mcq_jax.results.run_folder import RunFolder, content_hash
from mcq_jax.results.run_results import KINDS, Record, RunResults, findings_file
from mcq_jax.results.screening import RULE, Screening, judge
from mcq_jax.results.storage import Storage
from mcq_jax.results.table import Table
from mcq_jax.results.verdict import Verdict, verdict
from mcq_jax.results.whole_files import remove_leftovers, write_whole

__all__ = [
    "ENGINE_VERSION",
    "KINDS",
    "RULE",
    "About",
    "BehaviourFindings",
    "EarlierPositionsFindings",
    "HeadClassesFindings",
    "HeadFound",
    "HeadKind",
    "HeadKindsFindings",
    "JointFound",
    "JointTestsFindings",
    "NodeEffectsFindings",
    "NodeFound",
    "PlantedTruthFindings",
    "Followed",
    "QuerySwapsFindings",
    "SwapsFound",
    "Record",
    "RouteCut",
    "RouteSwap",
    "RoutesFindings",
    "RunFolder",
    "RunResults",
    "ScreenedFound",
    "Screening",
    "ScreeningFound",
    "SelectionFound",
    "Storage",
    "Table",
    "Verdict",
    "content_hash",
    "findings_file",
    "fingerprint",
    "judge",
    "key_of",
    "remove_leftovers",
    "verdict",
    "weights_fingerprint",
    "write_whole",
]
