"""Subspaces that are learned, and what must stand beside them."""

from mcq_jax.checked_calls import check_calls
from mcq_jax.learning.interchange import (
    Pairs,
    Where,
    interchanged,
    rows_of,
    run_pairs,
)
from mcq_jax.learning.measuring import (
    MovedBy,
    answers_under,
    class_mean_basis,
    moved_by,
    whole_basis,
)
from mcq_jax.learning.readers import read_directions, read_part
from mcq_jax.learning.subspaces import learn_subspace, orthonormal_rows

__all__ = [
    "MovedBy",
    "Pairs",
    "Where",
    "answers_under",
    "class_mean_basis",
    "interchanged",
    "learn_subspace",
    "moved_by",
    "orthonormal_rows",
    "read_directions",
    "read_part",
    "rows_of",
    "run_pairs",
    "whole_basis",
]

check_calls(__name__)
