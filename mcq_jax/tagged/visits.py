"""What happens when the program comes by a named value: it is changed, then kept.

Kept values live in buffers that travel through the loops, so that only what was asked
for is ever stored. This file knows no jaxpr.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from mcq_jax.interventions import Kind, blending
from mcq_jax.tagged.edits import TagCapture, TagEdit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What holds at one place of the program: the wishes, and which iteration it is."""

    edits: tuple[TagEdit, ...]
    captures: tuple[TagCapture, ...]
    max_steps: int | None = dataclasses.field(metadata={"static": True})
    counters: tuple[Int[Array, ""], ...] = ()  # of the counted loops, outermost first
    sizes: tuple[int, ...] = dataclasses.field(default=(), metadata={"static": True})

    def within(self, counter: Int[Array, ""], size: int | None) -> "Context":
        """The context inside one more loop; a while without `max_steps` has no size."""
        if size is None:
            return self
        return dataclasses.replace(
            self, counters=(*self.counters, counter), sizes=(*self.sizes, size)
        )

    @property
    def layer(self) -> Int[Array, ""] | None:
        """The iteration, the inner loop fastest; -1 beyond max_steps; None: no loop."""
        if not self.sizes:
            return None
        layer, is_counted = jnp.int32(0), jnp.bool_(True)
        for counter, size in zip(self.counters, self.sizes, strict=True):
            layer = layer * size + counter
            is_counted &= counter < size
        return jnp.where(is_counted, layer, -1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Buffer:
    """Where a capture collects: the values, and which of them have come by."""

    values: Array  # [layer, *shape], without the layer axis outside of loops
    reached: Bool[Array, "..."]  # [layer]


def empty_buffer(
    wish: TagCapture, shape: Sequence[int], dtype: np.dtype, layers: int | None
) -> Buffer:
    """Returns a buffer of zeros for a value of this shape in so many iterations."""
    shape = list(shape)
    if wish.indices is not None and wish.axis is not None:
        shape[wish.axis] = jnp.asarray(wish.indices).size
    front = () if layers is None else (_slots(wish, layers),)
    values = jnp.zeros((*front, *shape), dtype)
    return Buffer(values=values, reached=jnp.zeros(front, bool))


def _slots(wish: TagCapture, layers: int) -> int:
    return layers if wish.layers is None else len(wish.layers)


def keep(wish: TagCapture, x: Array, buffer: Buffer, context: Context) -> Buffer:
    """Returns the buffer with `x`, if it is an iteration that was asked for."""
    if wish.indices is not None and wish.axis is not None:
        indices = _from_start(jnp.asarray(wish.indices), x.shape[wish.axis])
        x = jnp.take(x, indices, axis=wish.axis, mode="fill")
    layer = context.layer
    if layer is None:
        return Buffer(values=x, reached=jnp.ones_like(buffer.reached))
    slot = _slot(wish, layer, math.prod(context.sizes))
    return Buffer(
        values=buffer.values.at[slot].set(x, mode="drop"),
        reached=buffer.reached.at[slot].set(True, mode="drop"),
    )


def _slot(wish: TagCapture, layer: Int[Array, ""], layers: int) -> Int[Array, ""]:
    """The place of an iteration in the buffer, or one past its end."""
    slots = _slots(wish, layers)
    wanted = range(layers) if wish.layers is None else wish.layers
    table = np.full(layers + 1, slots, np.int32)  # the last entry is for layer -1
    table[[number % layers for number in wanted]] = np.arange(slots, dtype=np.int32)
    return jnp.asarray(table)[layer]


def change(edit: TagEdit, x: Array, context: Context) -> Array:
    """Returns `x` changed by an edit; where the edit has no slot it is left as is."""
    weight, value = _in_layer(edit, x.ndim, context)
    weight, value = weight.astype(x.dtype), value.astype(x.dtype)
    if edit.indices is None or edit.axis is None:
        return _blend(edit, x, weight, value)
    size = x.shape[edit.axis]
    indices = _from_start(edit.indices, size)
    picked = jnp.take(x, indices, axis=edit.axis, mode="clip")
    changed = _blend(edit, picked, weight, value)
    place = (slice(None),) * (edit.axis % x.ndim) + (indices,)
    return x.at[place].set(changed, mode="drop")


def _blend(edit: TagEdit, x: Array, weight: Array, value: Array) -> Array:
    value, weight = (jnp.broadcast_to(array, x.shape) for array in (value, weight))
    if edit.kind is Kind.APPLY:
        assert edit.function is not None
        return blending.transform(edit.function, edit.arguments, x, weight)
    return _BLENDS[edit.kind](x, value, weight)


_BLENDS = {
    Kind.INTERPOLATE: blending.interpolate,
    Kind.ADD: blending.shift,
    Kind.SCALE: blending.rescale,
}


def _in_layer(edit: TagEdit, rank: int, context: Context) -> tuple[Array, Array]:
    """The weight and the value of the edit's slot for this iteration."""
    weight, value, layer = edit.weight, edit.value, context.layer
    if edit.layers is None:
        if layer is None:
            return weight, value
        return _row(weight, layer, rank), _row(value, layer, rank)
    if layer is None:
        layer = jnp.int32(0)
    layers = _from_start(edit.layers, math.prod(context.sizes))
    here = layers == layer
    slot = jnp.argmax(here)
    weight, value = _row(weight, slot, rank), _row(value, slot, rank)
    return jnp.where(here.any(), weight, jnp.zeros_like(weight)), value


def _row(array: Array, slot: Int[Array, ""], rank: int) -> Array:
    """The slot's entry of an array with a slot axis; other arrays serve every slot."""
    if array.ndim <= rank:
        return array
    return array[0] if array.shape[0] == 1 else array[slot]


def _from_start(numbers: Int[Array, " number"], size: int) -> Int[Array, " number"]:
    """Numbers counted from the start; what lies outside becomes `size`."""
    numbers = jnp.where(numbers < 0, numbers + size, numbers)
    return jnp.where((numbers < 0) | (numbers >= size), size, numbers)
