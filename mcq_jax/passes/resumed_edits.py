"""`resume_edited`: prompts resumed under ordinary edits, at absolute positions.

As `resume`, for rows that no plan describes: each is a prompt of a pass that was run,
under edits and captures as `forward` takes them. Positions count from the first token
of the sequence, also where a prefix that all prompts share was run by itself. Only the
last tokens run on, from the earliest that is edited or seen.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax.arguments import require_places
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Edit, Kind, Site
from mcq_jax.interventions.edits import is_concrete
from mcq_jax.interventions.lists import Wish, as_captures, as_edits
from mcq_jax.interventions.rows import NO_ROWS, row_axes
from mcq_jax.model import work
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.positions import places_of
from mcq_jax.model.readers import check_readers
from mcq_jax.model.run import layer_over_rows
from mcq_jax.model.validation import check_wishes
from mcq_jax.passes.prompt_pass import Prefill
from mcq_jax.passes.row_groups import SIZES

# What keys out of sight have.
_UNSEEN = {Site.SCORES: -jnp.inf, Site.PATTERN: 0.0}


@dataclasses.dataclass(frozen=True)
class EditedRows:
    """What edited rows come to."""

    # The residual stream after the last layer, at each row's answer position.
    final: Float[Array, "row width"]
    # What was captured, by site: `[layer, row, *site axes]`, of the layers from the
    # first on; positions are those asked for, or the last tokens that ran.
    activations: dict[Site, Array]


def resume_edited(
    parameters: Parameters,
    start: Prefill,
    edits: Edit | Sequence[Edit] = (),
    *,
    of: Int[AnyArray, " row"],
    config: ModelConfig,
    first_layer: int = 0,
    capture: Wish | Sequence[Wish] = (),
) -> EditedRows:
    """Runs rows on under edits, as `forward` would run them whole.

    Rows and last tokens are filled up to common numbers, and the layer is data: there
    is one program for each structure of edits and captures, number of last tokens and
    number of rows. It can be differentiated by what edits hold.

    Args:
        start: the prompts; of their last `suffix` tokens every row can be resumed.
        edits: of sites of layers, with one row for each of `of`, or one for all. Keys
            that only some queries read may lie before the suffix, their readers not.
        of: the prompt that each row is, as its place in `start`.
        first_layer: where rows begin; no edit or capture is of an earlier one.

    Raises:
        ValueError: for what lies before the suffix, or behind the prompt's end.
    """
    edits, wishes = as_edits(edits), as_captures(capture)
    of = np.asarray(of, np.int32)
    require_places(of, len(start.answer_position), "prompts that rows are of")
    before_all = 0 if start.prefix is None else start.prefix.length
    keys = before_all + start.blocks[0].keys.shape[2]
    check_wishes((len(of), keys), edits, wishes, config)
    check_readers(edits, (len(of), keys), config)
    _check_layers(edits, wishes, first_layer, config)
    ends = before_all + np.asarray(start.answer_position)[of] + 1
    suffix = _suffix(edits, wishes, ends, start.suffix)
    rows = next(size for size in SIZES if size >= len(of))
    filled = np.minimum(np.arange(rows), len(of) - 1)
    edits, wishes = _take_rows((edits, wishes), filled, len(of))
    firsts = (ends - suffix)[filled].astype(np.int32)
    begun = _begin(
        start.resid_pre, first_layer, of[filled], firsts, edits, wishes,
        suffix=suffix, keys=keys, config=config,
    )  # fmt: skip
    x, places, edits, within = begun
    constants, kept, layer = layer_constants(config), [], 0
    prefix = [()] * len(start.blocks)
    if start.prefix is not None:
        prefix = [(block,) for block in start.prefix.blocks]
    for segment, shared, own in zip(
        parameters.layers, prefix, start.blocks, strict=True
    ):
        for index in range(jax.tree.leaves(segment)[0].shape[0]):
            if layer >= first_layer:
                x, captured = _advance_edited(
                    (segment, shared, own, np.int32(index)),
                    (constants, np.int32(layer)),
                    x, of[filled], np.int32(before_all), places, edits, within,
                    config=config,
                )  # fmt: skip
                kept.append(captured)
            layer += 1
    layers_run = config.layers - first_layer
    work.note_rows(x, rows=rows, tokens=suffix, layers=layers_run, keys=keys)
    work.note_full_passes(x, rows=len(of), tokens=keys, layers=config.layers)
    found = {}
    for number, wish in enumerate(wishes):
        layers = [i for i in range(first_layer, config.layers) if wish.keeps(i)]
        parts = [kept[i - first_layer][number] for i in layers]
        whole = _as_forward_has_it(
            parts, firsts, wish, rows=len(of), suffix=suffix, keys=keys
        )
        found[wish.site] = wish.as_asked(whole)
    return EditedRows(x[: len(of), -1], found)


def _check_layers(edits, wishes, first_layer: int, config: ModelConfig) -> None:
    if not 0 <= first_layer < config.layers:
        raise ValueError(
            f"first_layer is {first_layer}; the model has layers 0 to "
            f"{config.layers - 1}."
        )
    for thing in (*edits, *wishes):
        site, kind = thing.site, type(thing).__name__.lower()
        if not site.per_layer:
            raise ValueError(
                f"{kind} of {site} in a pass that is resumed: only layers run. Edit "
                f"{Site.RESID_PRE} of the first layer, or read `final` of what comes "
                "behind the last; `forward` runs all."
            )
        layers = thing.layers
        if layers is None and kind == "edit" and first_layer:
            layers = [0]
        if layers is None or isinstance(layers, jax.core.Tracer):
            continue
        if min(np.asarray(layers).tolist()) < first_layer:
            raise ValueError(
                f"{kind} of {site} in layers {np.asarray(layers).tolist()}, and rows "
                f"begin with layer {first_layer}; begin earlier, or name later layers."
            )
    for edit in edits:
        if edit.kind is Kind.APPLY and edit.site.key_axes:
            raise ValueError(
                f"a function of {edit.site} would see the keys of a prompt in another "
                "order than in a whole pass; use `forward`."
            )


def _suffix(edits, wishes, ends: Int[np.ndarray, " row"], most: int) -> int:
    """How many last tokens have to run, rounded up to a number that programs share."""
    needed = 1
    for thing in (*edits, *wishes):
        if not is_concrete(
            thing.positions, thing.keys, getattr(thing, "readers", None)
        ):
            needed = most  # it cannot be checked
            continue
        first, last = _reach(thing, ends)
        bad = np.flatnonzero((ends - first > most) | (last >= ends))
        if len(bad):
            row = bad[0]
            kind = type(thing).__name__.lower()
            raise ValueError(
                f"{kind} of {thing.site}, row {row}: from position {first[row]} to "
                f"{last[row]}; the pass kept the last {most} tokens of the prompt, "
                f"{ends[row] - most} to {ends[row] - 1}. Ask `prefill` for a longer "
                "suffix, or give other positions (None is all)."
            )
        needed = max(needed, int((ends - first).max()))
    return min(most, next(size for size in SIZES if size >= needed))


def _reach(thing: Edit | Capture, ends):
    """By row, the first token that changes or is seen, and the last place named."""
    first, last = np.zeros_like(ends), ends - 1
    if thing.positions is not None:
        positions = np.asarray(thing.positions)
        first, last = first + positions.min(axis=1), 0 * last + positions.max(axis=1)
    elif isinstance(thing, Capture):
        first = last  # all that run
    if thing.keys is not None:
        keys = np.asarray(thing.keys).max(axis=-1)  # [*slot, row]
        last = np.maximum(last, keys.max(axis=0) if keys.ndim > 1 else keys)
    readers = getattr(thing, "readers", None)
    if readers is not None and readers.shape[2] > 1:
        reads = np.asarray(readers, bool).any(axis=(0, 3, 4))  # [row, query]
        queries = np.where(reads.sum(axis=1) > 0, reads.argmax(axis=1), ends.max())
        first = np.minimum(np.maximum(first, queries), ends - 1)
    return first, last


def _take_rows(tree, filled: Int[np.ndarray, " row"], rows: int):
    """Edits and captures of some rows; what all share stays."""
    leaves, structure = jax.tree.flatten(tree)

    def take(leaf, axis):
        if axis == NO_ROWS or leaf.shape[axis] == 1 or len(filled) == rows:
            return leaf
        return jnp.take(leaf, filled, axis=axis)

    taken = [take(*both) for both in zip(leaves, row_axes(tree), strict=True)]
    return structure.unflatten(taken)


@functools.partial(jax.jit, static_argnames=("suffix", "keys", "config"))
def _begin(resid_pre, first_layer, of, firsts, edits, wishes, *, suffix, keys, config):
    """The rows' residual and places; edits and captures as the last tokens see them."""
    x = resid_pre[first_layer, of, -suffix:]
    places = places_of(firsts[:, None] + jnp.arange(suffix)[None], config)
    where = _Where(firsts, suffix, keys)
    wishes = tuple(
        dataclasses.replace(
            wish,
            layers=None,
            positions=where.positions(wish.positions),
            keys=None if wish.keys is None else where.stand(wish.keys),
        )
        for wish in wishes
    )
    return x, places, tuple(map(where.edit, edits)), wishes


@dataclasses.dataclass(frozen=True)
class _Where:
    """How positions of whole prompts and of resumed rows correspond.

    A row reads the first keys of its prompt, as many for all rows, and behind them its
    own last tokens. Of a shorter prompt some of the first are its last tokens too, as
    they were: these are never read.
    """

    firsts: Int[Array, " row"]
    suffix: int
    keys: int

    @property
    def earlier(self) -> int:
        return self.keys - self.suffix

    def positions(self, positions):
        return None if positions is None else positions - self.firsts[:, None]

    def stand(self, keys: Int[Array, "*slot row selected"]):
        """Where the keys at some positions stand among those that rows read."""
        firsts = self.firsts.reshape(*(1,) * (keys.ndim - 2), -1, 1)
        return jnp.where(keys < firsts, keys, keys - firsts + self.earlier)

    def edit(self, edit: Edit) -> Edit:
        if edit.readers is not None:
            return edit  # which counts positions itself
        axis = 2 + edit.site.position_axis
        if edit.positions is None:
            weight, value = (
                jax.lax.slice_in_dim(a, 0, self.suffix, axis=axis)
                if a.shape[axis] > 1
                else a
                for a in (edit.weight, edit.value)
            )
            edit = dataclasses.replace(edit, weight=weight, value=value)
        edit = dataclasses.replace(edit, positions=self.positions(edit.positions))
        if not edit.site.key_axes:
            return edit
        order = jnp.arange(self.keys)[None]
        behind = self.firsts[:, None] + order - self.earlier
        position_of = jnp.where(order < self.earlier, order, behind)  # [row, key]
        is_stale = (order >= self.firsts[:, None]) & (order < self.earlier)
        value = self._by_key(edit.value, position_of)
        is_stale = is_stale[None, :, None, None, None]
        weight = jnp.where(is_stale, 0, self._by_key(edit.weight, position_of))
        return dataclasses.replace(
            edit,
            value=value,
            weight=weight,
            keys=None if edit.keys is None else self.stand(edit.keys),
        )

    def _by_key(self, array, position_of):
        """`[slot, #row, …, #key]` with keys as rows read them."""
        if array.shape[-1] == 1:
            return array
        rows = (len(array), len(self.firsts), *array.shape[2:])
        take = functools.partial(jnp.take, axis=-1, mode="clip")
        return jax.vmap(take, (1, 0), 1)(jnp.broadcast_to(array, rows), position_of)


@functools.partial(jax.jit, static_argnames="config")
def _advance_edited(
    segment, model, x, of, before_all, places, edits, wishes, *, config
):
    """One layer for rows `[row, suffix, width]`, and what was captured in it."""
    *parts, index = segment
    group, shared, own = jax.tree.map(lambda a: a[index], tuple(parts))
    constants, layer = model
    constants = jax.tree.map(lambda a: jnp.asarray(a)[layer], constants)
    earlier = own.keys.shape[1] - x.shape[1]
    past = Block(
        keys=own.keys[of, :earlier],
        values=own.values[of, :earlier],
        positions=own.positions[of, :earlier],
        length=places.positions[:, 0] - before_all,
    )
    past = (*shared, *((past,) if earlier else ()))
    x, _, captured = layer_over_rows(
        x, places, group, past, constants, edits, wishes, config
    )
    return x, captured


@functools.partial(jax.jit, static_argnames=("rows", "suffix", "keys"))
def _as_forward_has_it(parts, firsts, wish, *, rows, suffix, keys):
    """Layers together, without what rows were filled up with; keys by position."""
    found = jnp.stack(parts)[:, :rows]
    if not wish.site.key_axes or wish.keys is not None:
        return found
    order = jnp.arange(keys)[None]
    stands = _Where(firsts, suffix, keys).stand(order)[:rows]
    is_seen = order < firsts[:rows, None] + suffix
    shape = (1, rows, *(1,) * (found.ndim - 3), keys)
    found = jnp.take_along_axis(found, stands.reshape(shape), axis=-1, mode="clip")
    return jnp.where(is_seen.reshape(shape), found, _UNSEEN[wish.site])
