"""`subspace_edits`: rows that each keep other subspaces of what several heads see.

What `subspace_edit` does for one head and basis, for many rows of one pass: each row
names what is kept of which head's query, keys and values, and may name nothing.
"""

import functools
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mcq_jax.interventions import Edit, Node, Site, apply
from mcq_jax.interventions.edits import Argument
from mcq_jax.interventions.projections import onto_basis
from mcq_jax.metrics import Basis
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.positions import layer_frequencies
from mcq_jax.model.readers import read_by
from mcq_jax.passes.head_captures import kv_head_and_group
from mcq_jax.passes.head_views import Frame, turned
from mcq_jax.passes.subspace_edits import Part, check_basis
from mcq_jax.prompts import TokenBatch

# What is kept, by head and part; what is not named stays whole.
Kept = Mapping[tuple[Node, Part], Basis]

_SITES = {Part.QUERY: Site.ROT_Q, Part.KEYS: Site.ROT_K, Part.VALUES: Site.V}


def subspace_edits(
    kept: Sequence[Kept],
    which: Int[np.ndarray, " row"],
    batch: TokenBatch,
    *,
    config: ModelConfig,
) -> tuple[Edit, ...]:
    """Returns the edits under which every row keeps its subspaces, and no more.

    For `forward` and `resume_edited`. Bases lie in the frame `QUERY`, in which scores
    are the model's; keys and values are those of the labels, as read by their head
    from the answer position.

    Args:
        kept: different ways to edit; an empty one leaves the model as it is.
        which: of these each row has.
        batch: the rows' prompts, one for each row.
    """
    if len(which) != len(batch.lengths):
        raise ValueError(
            f"{len(which)} rows say what they keep, of {len(batch.lengths)} prompts; "
            "give a batch with one prompt for each row."
        )
    for one in kept:
        for (_, part), basis in one.items():
            check_basis(part, basis, Frame.QUERY, None, config)
    make = functools.partial(_edit, kept, np.asarray(which), batch, config)
    return tuple(
        make(part, heads) for part in Part for heads in _rounds(kept, part, config)
    )


def _rounds(
    kept: Sequence[Kept], part: Part, config: ModelConfig
) -> list[tuple[Node, ...]]:
    """The heads of a part, those that share a key head in edits of their own.

    An edit makes one version of each key head; queries have no such limit.
    """
    heads = sorted({head for one in kept for head, p in one if p is part})
    if part is Part.QUERY:
        return [tuple(heads)] if heads else []
    rounds: list[dict[tuple[int, int], Node]] = []
    for head in heads:
        key = (head.layer, kv_head_and_group(head, config)[0])
        free = next((r for r in rounds if key not in r), None)
        if free is None:
            rounds.append(free := {})
        free[key] = head
    return [tuple(found.values()) for found in rounds]


def _edit(
    kept: Sequence[Kept],
    which: np.ndarray,
    batch: TokenBatch,
    config: ModelConfig,
    part: Part,
    heads: tuple[Node, ...],
) -> Edit:
    layers = sorted({head.layer for head in heads})
    rows, width = batch.ids.shape
    last = batch.lengths - 1
    units = (config.kv_heads, config.group if part is Part.QUERY else 1)
    size = _size(kept, part)
    vectors = np.zeros(
        (len(layers), rows, *units, size + 1, config.head_width), np.float32
    )
    chosen = np.zeros((len(layers), rows, *units), np.float32)
    readers = np.zeros((len(layers), rows, width, config.kv_heads, config.group), bool)
    for head in heads:
        slot, (kv_head, group) = (
            layers.index(head.layer),
            kv_head_and_group(head, config),
        )
        unit = (kv_head, group if part is Part.QUERY else 0)
        own = np.stack([_padded(one.get((head, part)), size, config) for one in kept])
        is_kept = np.array([(head, part) in one for one in kept])[which]
        turn = 0 * last if part is Part.VALUES else last
        vectors[slot, :, *unit] = turned(
            own[which],
            np.repeat(turn[:, None], size + 1, axis=1),
            layer_frequencies(config)[head.layer],
        )
        chosen[slot, :, *unit] = is_kept
        readers[slot, np.arange(rows), last, kv_head, group] = is_kept
    if part is not Part.QUERY:
        vectors = vectors[:, :, :, 0]
    # Of a position: behind slot and row.
    vectors = np.expand_dims(vectors, 2)
    edit = functools.partial(
        apply, _SITES[part], onto_basis,
        Argument(jnp.asarray(vectors[..., :-1, :])),
        Argument(jnp.asarray(vectors[..., -1, :])),
        layers=layers,
    )  # fmt: skip
    if part is Part.QUERY:
        return edit(positions=last[:, None], weight=chosen[:, :, None, :, :, None])
    at_labels = np.zeros((rows, width), np.float32)
    at_labels[np.arange(rows)[:, None], batch.label_positions] = 1
    weight = at_labels[None, :, :, None, None] * chosen[:, :, None, :, :]
    return read_by(edit(weight=weight), readers)


def _size(kept: Sequence[Kept], part: Part) -> int:
    """Vectors that all bases are filled up to: few sizes, so few programs."""
    ranks = [basis.rank for one in kept for (_, p), basis in one.items() if p is part]
    return 1 << max(0, max(ranks) - 1).bit_length()


def _padded(
    basis: Basis | None, size: int, config: ModelConfig
) -> Float[np.ndarray, "vector head_width"]:
    """A basis filled up with zeros, its center behind."""
    found = np.zeros((size + 1, config.head_width), np.float32)
    if basis is not None:
        found[: basis.rank] = basis.vectors
        found[-1] = basis.center
    return found
