"""Edits that keep or remove a subspace of what one head sees.

The subspace lies in a frame of `seen_by_heads`; the edit is made where the model has
rotated queries and keys, so the basis turns along with every position. Keys and values
change for this head at the answer position only: other readers see them as they are.
"""

import enum
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mcq_jax.interventions import Edit, Node, Site, apply
from mcq_jax.interventions.edits import Argument
from mcq_jax.interventions.projections import onto_basis, out_of_basis
from mcq_jax.metrics import Basis
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.positions import layer_frequencies
from mcq_jax.model.readers import read_by
from mcq_jax.passes.head_captures import kv_head_and_group
from mcq_jax.passes.head_views import Frame, turned
from mcq_jax.prompts import TokenBatch


class Part(enum.Enum):
    """What of a head is edited."""

    QUERY = "its query at the answer position"
    KEYS = "some keys as it reads them from the answer position"
    VALUES = "some values as it reads them from the answer position"


def subspace_edit(
    part: Part,
    basis: Basis,
    head: Node,
    batch: TokenBatch,
    *,
    config: ModelConfig,
    keys: Int[np.ndarray, "prompt key"] | None = None,
    frame: Frame = Frame.QUERY,
    mean_distance: float | None = None,
    complement: bool = False,
) -> Edit:
    """Returns the edit that keeps only a subspace, seen from its center, for `forward`.

    The basis of rank 0 leaves the center alone; that of full rank changes nothing.

    Args:
        batch: the prompts that will run.
        keys: positions of the keys (or values); the labels where left out.
        frame: in which the basis was found; values have none.
        mean_distance: that of `Frame.MEAN_OFFSET`.
        complement: removes the subspace instead, down to its center.
    """
    check_basis(part, basis, frame, mean_distance, config)
    kv_head, group = kv_head_and_group(head, config)
    last = batch.lengths[:, None] - 1
    by = _turns(part, frame, batch.ids.shape[1], last, mean_distance)
    vectors = np.concatenate([basis.vectors, basis.center[None]])
    vectors = np.broadcast_to(vectors, (*by.shape, *vectors.shape))
    if part is not Part.VALUES:
        frequencies = layer_frequencies(config)[head.layer]
        steps = np.broadcast_to(by[..., None], vectors.shape[:-1])
        vectors = turned(np.ascontiguousarray(vectors), steps, frequencies)
    # Behind row and position stand the site's axes of heads.
    heads = (2, 3) if part is Part.QUERY else (2,)
    arguments = (
        np.expand_dims(vectors[:, :, :-1], heads),
        np.expand_dims(vectors[:, :, -1], heads),
    )
    make = functools.partial(
        apply,
        {Part.QUERY: Site.ROT_Q, Part.KEYS: Site.ROT_K, Part.VALUES: Site.V}[part],
        out_of_basis if complement else onto_basis,
        *(Argument(jnp.asarray(a[None], jnp.float32)) for a in arguments),
        layers=[head.layer],
    )
    if part is Part.QUERY:
        return make(positions=last, heads=[head.head or 0])
    # Readers see whole blocks: what is changed in them is said by weights.
    rows, width = batch.ids.shape
    chosen = np.zeros((1, rows, width, 1, 1), np.float32)
    where = batch.label_positions if keys is None else np.asarray(keys)
    chosen[0, np.arange(rows)[:, None], where] = 1
    readers = np.zeros((1, rows, width, config.kv_heads, config.group), bool)
    readers[0, np.arange(rows), last[:, 0], kv_head, group] = True
    return read_by(make(heads=[kv_head], weight=chosen), readers)


def _turns(
    part: Part,
    frame: Frame,
    width: int,
    last: Int[np.ndarray, "prompt one"],
    mean_distance: float | None,
) -> Float[np.ndarray, "prompt #position"]:
    """How far a frame turns, in positions, to stand in the model's."""
    if part is not Part.KEYS or frame is Frame.QUERY:
        return last.astype(float)
    distance = 0.0 if mean_distance is None else mean_distance
    return np.broadcast_to(np.arange(width) + distance, (len(last), width))


def check_basis(
    part: Part,
    basis: Basis,
    frame: Frame,
    mean_distance: float | None,
    config: ModelConfig,
) -> None:
    """Refuses a basis that is not of this model, or of a frame that it has not."""
    if basis.width != config.head_width:
        raise ValueError(
            f"{basis.name} has vectors of {basis.width} dimensions, and heads of this "
            f"model have {config.head_width}; fit it on what this model's heads see."
        )
    if (frame is Frame.MEAN_OFFSET) != (mean_distance is not None):
        raise ValueError(
            f"the frame {frame.name} with a mean distance of {mean_distance}; give one "
            "with MEAN_OFFSET, and only there."
        )
    is_moved = part is Part.KEYS and frame is not Frame.PRE_ROTATION
    if is_moved and config.relative_positions:
        raise ValueError(
            f"keys in the frame {frame.name} of a model with relative positions: there "
            "they hold the distance's direction, which no key of the model does; edit "
            "its queries, or keys in the frame PRE_ROTATION."
        )
