"""Keys and values as only some queries read them, also where these share a key head.

An edit with `readers` leaves the keys (or values) alone. Next to them it makes an
edited version, which its readers score (or mix) instead. Nothing is copied per query
head: a version costs one more product of queries and keys, however many read it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Int

from mcq_jax import axes
from mcq_jax.arguments import as_array, check_kind
from mcq_jax.interventions import Edit, Kind, Site, Tap
from mcq_jax.interventions.tap import slot_of
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig

READ_SITES = (Site.K, Site.ROT_K, Site.V)

# Who reads a version, and the version.
Version = tuple[Bool[Array, "kv_head group query"], tuple[Block, ...]]


def read_by(edit: Edit, readers: ArrayLike) -> Edit:
    """Returns an edit of keys or values that only `readers` see.

    Its positions are those of the keys. They count from the start of the sequence,
    also where keys lie in earlier blocks (a prefix, a cache).

    Args:
        readers: bool `[query position, kv_head, group]`, with slot and row in front if
            wanted; any axis may have size 1. Queries behind its end do not read.
    """
    check_kind(
        edit, Edit, "an edit that only some read", "`patch` and its kin make one"
    )
    if edit.site not in READ_SITES:
        raise ValueError(
            f"an edit of {edit.site} for some readers; only keys and values are read "
            f"by others: {READ_SITES}."
        )
    readers = as_array(readers, "readers", "give truth values").astype(bool)
    if readers.ndim not in (3, 5):
        raise ValueError(
            f"readers have shape {readers.shape}; give [query position, kv_head, "
            "group], or [slot, row, query position, kv_head, group]."
        )
    readers = readers.reshape((1,) * (5 - readers.ndim) + readers.shape)
    readers = jnp.broadcast_to(readers, (edit.slots, *readers.shape[1:]))
    return dataclasses.replace(edit, readers=readers)


def key_versions(
    tap: Tap,
    k: axes.Keys,
    blocks: tuple[Block, ...],
    positions: Int[Array, " query"],
    turned: Callable[[axes.Keys, Tap], axes.Keys],
) -> Iterator[Version]:
    """The versions of all blocks' keys.

    Args:
        k: the last block's keys before they are normed and rotated.
        turned: does both, for a tap.
    """
    *earlier, own = blocks
    for edit in _with_readers(tap, Site.K):
        if earlier:
            raise ValueError(
                f"an edit of {Site.K} for some readers, but earlier blocks keep only "
                f"rotated keys; edit {Site.ROT_K} instead."
            )
        [changed] = _changed(edit, [k], [own], tap.layer)
        everyones = Tap(tap.edits, (), tap.layer)
        version = own._replace(keys=turned(changed, everyones))
        yield _mask(edit, positions, tap.layer), (version,)
    for edit in _with_readers(tap, Site.ROT_K):
        changed = _changed(edit, [b.keys for b in blocks], blocks, tap.layer)
        edited = zip(blocks, changed, strict=True)
        version = tuple(block._replace(keys=keys) for block, keys in edited)
        yield _mask(edit, positions, tap.layer), version


def value_versions(
    tap: Tap, blocks: tuple[Block, ...], positions: Int[Array, " query"]
) -> Iterator[Version]:
    """The versions of all blocks' values."""
    for edit in _with_readers(tap, Site.V):
        changed = _changed(edit, [b.values for b in blocks], blocks, tap.layer)
        edited = zip(blocks, changed, strict=True)
        version = tuple(block._replace(values=values) for block, values in edited)
        yield _mask(edit, positions, tap.layer), version


def _with_readers(tap: Tap, site: Site) -> list[Edit]:
    return [e for e in tap.edits if e.site is site and e.readers is not None]


def _changed(
    edit: Edit, read: Sequence[Array], blocks: Sequence[Block], layer
) -> list[Array]:
    """What is read of blocks, edited; a function sees it as that of one sequence."""
    if edit.kind is Kind.APPLY:
        return _put_through(edit, read, blocks, layer)
    return [
        Tap((placed(edit, block.positions),), (), layer)(edit.site, x)
        for block, x in zip(blocks, read, strict=True)
    ]


def _put_through(
    edit: Edit, read: Sequence[Array], blocks: Sequence[Block], layer
) -> list[Array]:
    """The keys (or values) that an edit selects, in its order, in whichever block."""
    joined = jnp.concatenate(read)
    places = edit.positions
    if places is None:
        places = jnp.arange(len(joined))
    stands = jnp.concatenate([block.positions for block in blocks])
    is_real = jnp.concatenate([block.is_real for block in blocks])
    match = (places[:, None] == stands[None]) & is_real[None]
    index = match.argmax(1)
    seen = Tap((placed(edit, places),), (), layer)(edit.site, joined[index])
    # What is in no block (behind the last token) is changed in none.
    index = jnp.where(match.any(1), index, len(joined))
    joined = joined.at[index].set(seen, mode="drop")
    sizes = [len(x) for x in read]
    return jnp.split(joined, np.cumsum(sizes)[:-1].tolist())


def _mask(edit: Edit, positions, layer) -> Bool[Array, "kv_head group query"]:
    assert edit.readers is not None
    slot, is_here = slot_of(edit, layer)
    readers = edit.readers[slot] & is_here
    if readers.shape[0] > 1:
        readers = jnp.take(readers, positions, axis=0, mode="fill", fill_value=False)
    return jnp.moveaxis(readers, 0, 2)


def placed(edit: Edit, positions: Int[Array, " position"]) -> Edit:
    """Returns an edit as the tokens at `positions` of the sequence see it.

    The edit is one row's, as within a layer. A token that it does not reach, because
    its positions are others or its position axis ends before, gets weight 0.
    """
    axis = 1 + edit.site.position_axis
    if edit.positions is not None:
        match = edit.positions[None] == positions[:, None]
        index, is_reached = match.argmax(1), match.any(1)
    else:
        sizes = {edit.weight.shape[axis], edit.value.shape[axis]}
        index, is_reached = positions, positions < (max(sizes - {1}, default=2**30))
    behind = edit.weight.ndim - axis - 1
    reach = is_reached.reshape(*(1,) * axis, -1, *(1,) * behind)
    return dataclasses.replace(
        edit,
        positions=None,
        readers=None,
        weight=jnp.where(reach, _picked(edit.weight, index, axis), 0),
        value=_picked(edit.value, index, axis),
    )


def _picked(array: Array, index: Int[Array, " position"], axis: int) -> Array:
    if array.shape[axis] == 1:
        return array
    return jnp.take(array, index, axis=axis, mode="clip")


def check_readers(
    edits: Sequence[Edit], shape: tuple[int, ...], config: ModelConfig
) -> None:
    """Raises ValueError where two edits would decide what one query reads."""
    sizes = (*shape, config.kv_heads, config.group)
    for index, edit in enumerate(edits):
        if edit.readers is None:
            continue
        found = edit.readers.shape[1:]
        if any(have not in (1, want) for have, want in zip(found, sizes, strict=True)):
            raise ValueError(
                f"readers of an edit of {edit.site} have shape {edit.readers.shape}; "
                f"[row, query, kv_head, group] have sizes {sizes}, or 1."
            )
        for other in edits[:index]:
            _check_disjoint(other, edit)


def _check_disjoint(first: Edit, second: Edit) -> None:
    if first.readers is None or (first.site is Site.V) != (second.site is Site.V):
        return
    arrays = (first.layers, first.readers, second.layers, second.readers)
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        return
    layers, others = first.layer_of_slot, second.layer_of_slot
    same_layer = np.ones((first.slots, second.slots), bool)
    if layers is not None and others is not None:
        same_layer = np.asarray(layers)[:, None] == np.asarray(others)
    both = np.asarray(first.readers)[:, None] & np.asarray(second.readers)
    shared = both.any(axis=(2, 3, 4, 5)) & same_layer
    if shared.any():
        named, axis = (layers, 1) if others is None else (others, 0)
        where = "every layer"
        if named is not None:
            where = f"layers {np.asarray(named)[shared.any(axis=axis)].tolist()}"
        raise ValueError(
            f"edits of {first.site} and {second.site} name the same readers in "
            f"{where}; let one edit decide what a query reads."
        )
