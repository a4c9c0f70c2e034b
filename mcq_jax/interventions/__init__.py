"""What may be changed and seen: plain data that knows no transformer.

    sites ─► selection ─► edits (patch, add, scale, apply) ─► tap (in the forward pass)

`ablations`, `projections` and `features` are ways to write an edit; `saving` and
`circuits` keep edits and findings as files; `aliases` reads other libraries' names.
"""

from mcq_jax.interventions.ablations import (
    freeze,
    from_rows,
    mean_ablate,
    resample_ablate,
    zero_ablate,
)
from mcq_jax.interventions.blending import interpolate
from mcq_jax.interventions.circuits import Circuit, Edge, load_circuit, save_circuit
from mcq_jax.interventions.conflicts import check_conflicts
from mcq_jax.interventions.edits import (
    Argument,
    Capture,
    Edit,
    Kind,
    Where,
    add,
    apply,
    patch,
    scale,
)
from mcq_jax.interventions.features import Dictionary, scale_features, set_features
from mcq_jax.interventions.nodes import Node, all_nodes
from mcq_jax.interventions.positions import from_end, last
from mcq_jax.interventions.projections import project_onto, project_out
from mcq_jax.interventions.saving import EditSet, load_edits, save_edits
from mcq_jax.interventions.sites import Site
from mcq_jax.interventions.tap import Tap

__all__ = [
    "Argument",
    "Capture",
    "Circuit",
    "Dictionary",
    "Edge",
    "Edit",
    "EditSet",
    "Kind",
    "Node",
    "Site",
    "Tap",
    "Where",
    "add",
    "all_nodes",
    "apply",
    "check_conflicts",
    "freeze",
    "from_end",
    "from_rows",
    "interpolate",
    "last",
    "load_circuit",
    "load_edits",
    "mean_ablate",
    "patch",
    "project_onto",
    "project_out",
    "resample_ablate",
    "save_circuit",
    "save_edits",
    "scale",
    "scale_features",
    "set_features",
    "zero_ablate",
]
