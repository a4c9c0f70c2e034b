"""`stand_in_edits`: something else in place of what heads see at the answer position.

A stand-in is an affine map of what is there: a center, and the directions along which
what is there stays (or alone goes). The center alone is a mean or another prompt's, no
directions at all change nothing, a basis is a projection: all are rows of one program.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax import sharding
from mcq_jax.arguments import require_places
from mcq_jax.interventions import Edit, Node, Site, apply, patch
from mcq_jax.interventions.edits import Argument
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.positions import layer_frequencies
from mcq_jax.model.readers import read_by
from mcq_jax.passes.head_captures import kv_head_and_group
from mcq_jax.passes.head_views import Frame, turned
from mcq_jax.passes.prompt_pass import Prefill
from mcq_jax.passes.subspace_edits import Part
from mcq_jax.passes.subspaces import swap_within


@dataclasses.dataclass(frozen=True, kw_only=True)
class StandIns:
    """What rows put in place of the queries, keys or values of some heads.

    With B a row's vectors and c its center: c + B'B (x - c) where it keeps, and
    x - B'B (x - c) where it drops. No vectors kept: the center; none dropped: x.
    """

    # Of queries without the axis of keys.
    center: Float[np.ndarray, "row *key head head_width"]
    # Orthonormal, or zeros in place of some.
    vectors: Float[np.ndarray, "row head vector head_width"]
    keeps: Bool[np.ndarray, " row"]
    # What is edited at all; all else is as it was, bit for bit.
    is_edited: Bool[np.ndarray, "row head"]

    def of(
        self, x: Float[np.ndarray, "row *key head head_width"]
    ) -> Float[np.ndarray, "row *key head head_width"]:
        """Returns what stands in for x."""
        away = x - self.center
        inside = np.einsum("r...hw,rhvw->r...hv", away, self.vectors)
        inside = np.einsum("r...hv,rhvw->r...hw", inside, self.vectors)
        keeps = self.keeps.reshape(-1, *(1,) * (x.ndim - 1))
        return np.where(keeps, self.center + inside, x - inside)


def stand_in_edits(
    stand_ins: Mapping[Part, StandIns],
    start: Prefill,
    of: Int[np.ndarray, " row"],
    heads: Sequence[Node],
    keys: Int[np.ndarray, "row key"],
    *,
    config: ModelConfig,
    frame: Frame = Frame.QUERY,
) -> tuple[Edit, ...]:
    """Returns edits for `resume_edited` of a pass that was run without a prefix.

    Queries are changed as they come in the edited run, which another head's stand-in
    may have changed already; keys and values, which no edit at the answer position
    reaches, as they are in the pass, and only as these heads read them from there.

    Args:
        of: the prompt that each row is, as its place in `start`.
        keys: positions of the keys (or values) that are replaced, before the answer's.
        frame: that of the queries and keys: `PRE_ROTATION` or `QUERY`.
    """
    check_frame(frame, config)
    require_places(of, len(start.answer_position), "prompts that rows are of")
    last = np.asarray(start.answer_position)[of]
    late = (np.asarray(keys) >= last[:, None]).any(axis=1)
    if late.any():
        row = int(late.argmax())
        raise ValueError(
            f"keys {np.asarray(keys)[row].tolist()} of row {row}, which answers at "
            f"{last[row]}: what stands there changes with the row; give keys before it."
        )
    seen = seen_in_pass(
        start, heads, of, keys, config=config, frame=frame, parts=tuple(stand_ins)
    )
    # The answer position of every row, among the keys that it reads.
    width = start.blocks[0].keys.shape[2]
    reader = np.arange(width)[None] == last[:, None]
    made: list[Edit] = []
    for part, stand_in in stand_ins.items():
        if part is Part.QUERY:
            made.append(_query_edit(stand_in, last, heads, config))
            continue
        value = stand_in.of(seen[part])
        if part is Part.KEYS:
            value = _turned(value, _from_frame(frame, last, keys), heads, config)
        made += [
            _read_edit(
                part, value, stand_in.is_edited, reader, keys, heads, own, config
            )
            for own in _versions(heads, config)
        ]
    return tuple(made)


def seen_in_pass(
    start: Prefill,
    heads: Sequence[Node],
    of: Int[np.ndarray, " row"],
    keys: Int[np.ndarray, "row key"],
    *,
    config: ModelConfig,
    frame: Frame = Frame.QUERY,
    parts: Sequence[Part] = tuple(Part),
) -> dict[Part, Float[np.ndarray, "row *key head head_width"]]:
    """Returns what heads see in a pass, as `seen_by_heads` does by a run of its own.

    Queries are those of `Site.ROT_Q`, if the pass kept it at the answer position.
    """
    check_frame(frame, config)
    if start.prefix is not None:
        raise ValueError(
            "what heads see in a pass with a shared prefix, whose keys lie apart; run "
            "prompts whole."
        )
    require_places(of, len(start.answer_position), "prompts that rows are of")
    last = np.asarray(start.answer_position)[of]
    require_places(keys, start.blocks[0].keys.shape[2], "keys that heads read")
    found = {}
    if Part.QUERY in parts and Site.ROT_Q in start.activations:
        held = sharding.on_every_host(start.activations[Site.ROT_Q])
        held = held.astype(np.float32)
        picked = [
            held[head.layer, of, -1, *kv_head_and_group(head, config)] for head in heads
        ]
        found[Part.QUERY] = _turned(
            np.stack(picked, 1)[:, None], -last[:, None], heads, config
        )[:, 0]
    for part, name in ((Part.KEYS, "keys"), (Part.VALUES, "values")):
        if part in parts:
            found[part] = _held(start, name, heads, of, keys, config)
    if Part.KEYS in found:
        back = -_from_frame(frame, last, keys)
        found[Part.KEYS] = _turned(found[Part.KEYS], back, heads, config)
    return found


def check_frame(frame: Frame, config: ModelConfig) -> None:
    """Refuses frames in which a key cannot be put back where the model has it."""
    if frame is Frame.MEAN_OFFSET:
        raise ValueError(
            "stand-ins in the frame MEAN_OFFSET, in which a key has lost its distance; "
            "give PRE_ROTATION or QUERY."
        )
    if frame is Frame.QUERY and config.relative_positions:
        raise ValueError(
            "stand-ins in the frame QUERY of a model with relative positions: there "
            "keys hold the distance's direction, which no key of the model does; give "
            "PRE_ROTATION."
        )


def _held(start, name, heads, of, keys, config) -> np.ndarray:
    """Keys or values of the pass, `[row, key, head, head_width]`."""
    sizes = [len(block.keys) for block in start.blocks]
    ends = np.cumsum(sizes)
    picked = []
    for head in heads:
        segment = int(np.searchsorted(ends, head.layer, side="right"))
        index = head.layer - int(ends[segment] - sizes[segment])
        block = getattr(start.blocks[segment], name)[index]
        kv_head, _ = kv_head_and_group(head, config)
        picked.append(block[jnp.asarray(of)[:, None], jnp.asarray(keys), kv_head])
    found = sharding.on_every_host(picked)
    return np.stack([one.astype(np.float32) for one in found], axis=2)


def _from_frame(frame: Frame, last: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """How far keys turn from their frame to where the model has them."""
    return keys if frame is Frame.PRE_ROTATION else np.broadcast_to(
        last[:, None], keys.shape
    )  # fmt: skip


def _turned(
    x: Float[np.ndarray, "row key head *vector head_width"],
    by: Int[np.ndarray, "row key"],
    heads: Sequence[Node],
    config: ModelConfig,
) -> np.ndarray:
    """Each head's vectors turned as its layer does."""
    frequencies = layer_frequencies(config)
    rows = []
    for index, head in enumerate(heads):
        own = x[:, :, index]
        steps = by.reshape(*by.shape, *(1,) * (own.ndim - 3))
        steps = np.broadcast_to(steps, own.shape[:-1])
        rows.append(turned(np.ascontiguousarray(own), steps, frequencies[head.layer]))
    return np.stack(rows, axis=2)


def _query_edit(
    stand_in: StandIns, last: np.ndarray, heads: Sequence[Node], config: ModelConfig
) -> Edit:
    vectors = np.concatenate(
        [stand_in.vectors, stand_in.center[:, :, None]], axis=2
    )  # fmt: skip
    vectors = _turned(vectors[:, None], last[:, None], heads, config)[:, 0]
    layers = sorted({head.layer for head in heads})
    sizes = (len(layers), len(last), 1, config.kv_heads, config.group)
    count, width = stand_in.vectors.shape[2:]
    basis = np.zeros((*sizes, count, width), np.float32)
    center = np.zeros((*sizes, width), np.float32)
    weight = np.zeros((*sizes, 1), np.float32)
    for index, head in enumerate(heads):
        unit = (slice(None), 0, *kv_head_and_group(head, config))
        slot = layers.index(head.layer)
        basis[slot][unit] = vectors[:, index, :-1]
        center[slot][unit] = vectors[:, index, -1]
        weight[slot][unit] = stand_in.is_edited[:, index, None]
    # `swap_within` puts the center outside of the basis, or in it.
    keeps = stand_in.keeps.astype(np.float32).reshape(1, -1, 1, 1, 1, 1)
    gates = np.broadcast_to(1 - keeps, (1, len(last), 1, 1, 1, count))
    arguments = (center, basis, gates, keeps)
    return apply(
        Site.ROT_Q, swap_within, *(Argument(jnp.asarray(a)) for a in arguments),
        layers=layers, positions=last[:, None], weight=weight,
    )  # fmt: skip


def _versions(heads: Sequence[Node], config: ModelConfig) -> list[list[int]]:
    """The first head of every key head, the second of every key head, and so on.

    What two heads read of one key head are two versions of it.
    """
    taken: list[set[tuple[int, int]]] = []
    versions: list[list[int]] = []
    for index, head in enumerate(heads):
        shared = (head.layer, kv_head_and_group(head, config)[0])
        free = [i for i, others in enumerate(taken) if shared not in others]
        if not free:
            taken.append(set())
            versions.append([])
            free = [len(versions) - 1]
        taken[free[0]].add(shared)
        versions[free[0]].append(index)
    return versions


def _read_edit(
    part: Part,
    value: Float[np.ndarray, "row key head head_width"],
    is_edited: Bool[np.ndarray, "row head"],
    reader: Bool[np.ndarray, "row query"],
    keys: Int[np.ndarray, "row key"],
    heads: Sequence[Node],
    version: Sequence[int],
    config: ModelConfig,
) -> Edit:
    layers = sorted({heads[i].layer for i in version})
    sizes = (len(layers), *keys.shape, config.kv_heads)
    held = np.zeros((*sizes, config.head_width), np.float32)
    weight = np.zeros((*sizes, 1), np.float32)
    units = (config.kv_heads, config.group)
    readers = np.zeros((len(layers), *reader.shape, *units), bool)
    for index in version:
        kv_head, group = kv_head_and_group(heads[index], config)
        slot = layers.index(heads[index].layer)
        held[slot, :, :, kv_head] = value[:, :, index]
        weight[slot, :, :, kv_head] = is_edited[:, None, index, None]
        readers[slot, :, :, kv_head, group] = reader
    site = Site.ROT_K if part is Part.KEYS else Site.V
    edit = patch(site, held, layers=layers, positions=keys, weight=weight)
    return read_by(edit, readers)
