"""What of a residual stream anyone downstream reads, by the weights.

A learned subspace may join a direction in which prompts differ, and which no one reads,
with one that is read, and in which they do not differ: interchanging it steers the
answer by a way that the model does not go (Makelov, Lange and Nanda 2023, arXiv
2311.17030). Without its unread part such a subspace does nothing.
"""

import jax
import numpy as np
from jaxtyping import Float

from mcq_jax.arguments import require_finite
from mcq_jax.model import Parameters
from mcq_jax.model.int8 import dequantise
from mcq_jax.parameter_table import Kind, parameter

# Of the largest: a singular value that float32 weights may have by rounding.
_ROUNDING = 1e-5


def read_directions(
    parameters: Parameters, layer: int, layers: int
) -> Float[np.ndarray, "direction width"]:
    """Returns an orthonormal basis of what the layers from `layer` on read.

    Of queries, keys, values, gates and neurons of all of them, and of the unembedding.
    Gains of norms are not looked at: they shrink directions and rarely remove one.
    """
    if not 0 <= layer <= layers:
        raise ValueError(
            f"what is read from layer {layer} on, of {layers}; give 0 to {layers}, "
            "which is the unembedding alone."
        )
    tables = [np.asarray(leaf, np.float64) for leaf in _tables(parameters.unembedding)]
    width = tables[0].shape[-1]
    products = sum(rows.T @ rows for rows in tables)
    for number in range(layer, layers):
        (group,) = parameters.of_layer(number).layers
        for rows in _readers(dequantise(group)):
            rows = np.asarray(rows, np.float64).reshape(-1, width)
            products = products + rows.T @ rows
    sizes, vectors = np.linalg.eigh(products)
    return vectors[:, sizes > _ROUNDING**2 * sizes[-1]].T


def read_part(
    basis: Float[np.ndarray, "vector width"],
    read: Float[np.ndarray, "direction width"],
) -> tuple[Float[np.ndarray, "vector width"], float]:
    """Returns the part of a subspace that is read, and the share that is not.

    The vectors' projections, made orthonormal; of a vector of which nothing is left,
    zeros. Share: of the vectors' squared lengths.
    """
    require_finite(basis, "a basis")
    if not basis.any():
        raise ValueError("a basis of zeros has no part that is read; give a vector.")
    kept = (basis @ read.T) @ read
    left, sizes, right = np.linalg.svd(kept, full_matrices=False)
    is_there = sizes > 1e-3
    share = 1 - float((kept**2).sum() / (basis**2).sum())
    return right * is_there[:, None], max(0.0, share)


def _readers(group) -> list:
    """The leaves of a layer that read the residual stream."""
    found = jax.tree_util.tree_leaves_with_path(group)
    return [leaf for path, leaf in found if _is_reader(path[-1].key)]


def _is_reader(name: str) -> bool:
    # `relative` reads sinusoids of distances, not the residual stream.
    return parameter(name).kind is Kind.READING and name != "relative"


def _tables(group) -> list:
    found = jax.tree_util.tree_leaves_with_path(dequantise(group))
    return [leaf for path, leaf in found if path[-1].key == "table"]
