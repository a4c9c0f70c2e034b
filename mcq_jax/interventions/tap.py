"""`Tap`: where the forward pass meets edits and captures."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Int

from mcq_jax.interventions import blending
from mcq_jax.interventions.edits import Capture, Edit, Kind
from mcq_jax.interventions.sites import Site


class Tap:
    """The one way a site enters the forward pass: `x = tap(Site.RESID_PRE, x)`.

    It pins the rounding (so that a program with edits and one without agree bit for
    bit where weights are 0), applies the edits of the site in order, and keeps what
    was asked for. It lives inside one call of one layer.
    """

    def __init__(
        self,
        edits: Sequence[Edit],
        capture: Sequence[Capture],
        layer: Int[ArrayLike, ""] = 0,
    ):
        self.edits = edits
        self.layer = jnp.asarray(layer, jnp.int32)
        self._capture = capture
        self.captured: list[Array | None] = [None] * len(capture)

    def __call__(self, site: Site, x: Array) -> Array:
        x = _pin_rounding(x)
        for edit in self.edits:
            # What only some readers see is theirs to apply (`model.readers`).
            if edit.site is site and edit.readers is None:
                x = _pin_rounding(apply_edit(edit, x, self.layer))
        self.keep(site, functools.partial(_at_positions, site, x))
        return x

    def keep(
        self, site: Site, at: Callable[[Int[Array, " selected"] | None], Array]
    ) -> None:
        """Keeps what was asked for of a site, given as a function of positions."""
        for index, wish in enumerate(self._capture):
            if wish.site is site and wish.layers != ():
                self.captured[index] = _selected(wish, at(wish.positions))

    def names(self, site: Site) -> bool:
        """Whether anything is to be done at a site; if not, it need not exist."""
        wishes = (wish for wish in self._capture if wish.layers != ())
        return self.changes(site) or any(wish.site is site for wish in wishes)

    def changes(self, site: Site) -> bool:
        """Whether an edit is made at a site."""
        return any(edit.site is site for edit in self.edits)


def apply_edit(edit: Edit, x: Array, layer: Int[Array, ""]) -> Array:
    """Returns activation `x` of one sequence in `layer`, changed by `edit`.

    Here the edit has lost its row axis (the layer is vmapped over rows). In a layer
    for which the edit has no slot, and outside the selected heads, neurons and keys,
    its weight is 0, which leaves x as it is.
    """
    slot, is_here = slot_of(edit, layer)
    weight = jnp.where(is_here, edit.weight[slot], 0).astype(x.dtype)
    for indices, axes in edit.selectors:
        weight = jnp.where(_chosen(indices[slot], axes, x.shape), weight, 0)

    if edit.positions is None:
        return _blend(edit, slot, x, weight)
    axis = edit.site.position_axis
    picked = jnp.take(x, edit.positions, axis=axis)
    changed = jnp.broadcast_to(_blend(edit, slot, picked, weight), picked.shape)
    index = (slice(None),) * axis + (edit.positions,)
    return x.at[index].set(changed)


def slot_of(
    edit: Edit, layer: Int[Array, ""]
) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """Returns which slot of an edit is a layer's, and whether there is one."""
    layers = edit.layer_of_slot
    if layers is None:
        return jnp.int32(0), jnp.array(True)
    here = jnp.asarray(layers) == layer
    return jnp.argmax(here), here.any()


def _chosen(
    indices: Int[Array, " selected"], axes: tuple[int, ...], shape: tuple[int, ...]
) -> Bool[Array, "..."]:
    """A mask over `axes`, taken as one: query head h is (kv_head, group)."""
    sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    none = jnp.zeros(math.prod(sizes), bool)
    flat = none.at[indices].set(True, mode="drop", wrap_negative_indices=False)
    return flat.reshape(sizes)


def _blend(edit: Edit, slot: Int[Array, ""], x: Array, weight: Array) -> Array:
    if edit.kind is Kind.APPLY:
        assert edit.function is not None
        arguments = [_of_slot(a.values, slot) for a in edit.arguments]
        return blending.transform(edit.function, arguments, x, weight)
    blend = {
        Kind.INTERPOLATE: blending.interpolate,
        Kind.ADD: blending.shift,
        Kind.SCALE: blending.rescale,
    }[edit.kind]
    return blend(x, edit.value[slot].astype(x.dtype), weight)


def _of_slot(values: Array, slot: Int[Array, ""]) -> Array:
    return values[0] if values.shape[0] == 1 else values[slot]


def _selected(wish: Capture, x: Array) -> Array:
    """The heads, neurons and keys that are asked for, each kind on one axis."""
    for indices, axes in reversed(wish.selectors):  # keys stand behind heads
        first, count = axes[0], math.prod(x.shape[axis] for axis in axes)
        flat = x.reshape(*x.shape[:first], count, *x.shape[axes[-1] + 1 :])
        x = jnp.take(flat, indices, axis=first)
    return x


def _at_positions(
    site: Site, x: Array, positions: Int[Array, " selected"] | None
) -> Array:
    if positions is None:
        return x
    return jnp.take(x, positions, axis=site.position_axis)


def _pin_rounding(x: Array) -> Array:
    """Rounds to x's own type, so that no fusion keeps excess precision across it."""
    if x.dtype == jnp.float32 or x.dtype == jnp.float64:
        return x
    info = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, info.nexp, info.nmant)
