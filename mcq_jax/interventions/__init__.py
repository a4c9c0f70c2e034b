"""What may be changed and seen: plain data that knows no transformer."""

from mcq_jax.interventions.edits import (
    Capture,
    Edit,
    Kind,
    Tap,
    add,
    interpolate,
    patch,
    scale,
)
from mcq_jax.interventions.nodes import Node, all_nodes
from mcq_jax.interventions.sites import Site

__all__ = [
    "Capture",
    "Edit",
    "Kind",
    "Node",
    "Site",
    "Tap",
    "add",
    "all_nodes",
    "interpolate",
    "patch",
    "scale",
]
