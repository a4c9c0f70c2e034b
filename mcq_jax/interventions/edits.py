"""Interventions as values: what to change (`Edit`) and what to keep (`Capture`).

Both are pytrees. Their structure (site, kind, which layers are kept) is static;
everything that varies across a sweep is an array, so one compiled program serves
all of it, and edits can be batched, vmapped, differentiated and sharded.
"""

import dataclasses
import enum
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int

from mcq_jax.interventions.sites import Site


class Kind(enum.Enum):
    """How an edit combines the activation x, its value v and its weight w."""

    INTERPOLATE = "x at w = 0, v at w = 1, linear between"
    ADD = "x + w * v"
    SCALE = "x * (1 - w + w * v)"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """A change of one site. Build it with `patch`, `add` or `scale`.

    `weight` and `value` are `[slot, row, *site axes]`, where any axis may have
    size 1 and the position axis runs over `positions` if these are given. `layers`
    says which layer each slot belongs to. Several edits of one site apply in the
    order in which they are given.
    """

    site: Site = dataclasses.field(metadata={"static": True})
    kind: Kind = dataclasses.field(metadata={"static": True})
    layers: Array  # [slot]
    positions: Array | None  # [row, selected]
    weight: Array  # [slot, row, *site axes]
    value: Array  # [slot, row, *site axes]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Capture:
    """A wish to see one site: all layers or some, all positions or some."""

    site: Site = dataclasses.field(metadata={"static": True})
    layers: tuple[int, ...] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )
    positions: Array | None = None  # [row, selected]

    def keeps(self, layer: int) -> bool:
        return self.layers is None or layer in self.layers


def patch(
    site: Site,
    source: ArrayLike,
    *,
    layers: Sequence[int] | Array = (0,),
    positions: ArrayLike | None = None,
    weight: ArrayLike = 1.0,
) -> Edit:
    """Returns the edit that replaces a site by `source` (where `weight` is 1)."""
    return _edit(Kind.INTERPOLATE, site, source, layers, positions, weight)


def add(
    site: Site,
    direction: ArrayLike,
    *,
    layers: Sequence[int] | Array = (0,),
    positions: ArrayLike | None = None,
    weight: ArrayLike = 1.0,
) -> Edit:
    """Returns the edit that adds `weight * direction` to a site (steering)."""
    return _edit(Kind.ADD, site, direction, layers, positions, weight)


def scale(
    site: Site,
    factor: ArrayLike,
    *,
    layers: Sequence[int] | Array = (0,),
    positions: ArrayLike | None = None,
    weight: ArrayLike = 1.0,
) -> Edit:
    """Returns the edit that multiplies a site by `factor` (where `weight` is 1)."""
    return _edit(Kind.SCALE, site, factor, layers, positions, weight)


def _edit(kind, site, value, layers, positions, weight) -> Edit:
    rank = 2 + len(site.axes)
    value, weight = jnp.asarray(value, float), jnp.asarray(weight, float)
    if positions is not None:
        positions = jnp.asarray(positions, jnp.int32)
        positions = positions.reshape((1,) * (2 - positions.ndim) + positions.shape)
    for name, array in (("value", value), ("weight", weight)):
        if array.ndim not in (0, rank):
            raise ValueError(
                f"{name} of an edit of {site} has shape {array.shape}; give a number "
                f"or an array with axes {('slot', 'row', *site.axes)}, any of size 1."
            )
    layers = jnp.asarray(layers, jnp.int32)
    for name, array in (("value", value), ("weight", weight)):
        if array.ndim and array.shape[0] not in (1, layers.size):
            raise ValueError(
                f"{name} of an edit of {site} has {array.shape[0]} slots for "
                f"{layers.size} layers; give one slot per layer, or a single one."
            )
    return Edit(
        site=site,
        kind=kind,
        layers=layers,
        positions=positions,
        weight=_with_slots(weight, layers.size, rank),
        value=_with_slots(value, layers.size, rank),
    )


def _with_slots(array: Array, slots: int, rank: int) -> Array:
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return jnp.broadcast_to(array, (slots, *array.shape[1:]))


@jax.custom_jvp
def interpolate(x: Array, source: Array, weight: Array) -> Array:
    """x at weight 0 and the source at weight 1, bit for bit; linear between.

    Selecting at the ends keeps a non-finite source at weight 0 harmless; the
    derivative is that of the line everywhere, also at 0, where it is attribution
    patching.
    """
    line = x * (1 - weight) + source * weight
    return jnp.where(weight == 0, x, jnp.where(weight == 1, source, line))


def _interpolate_jvp(primals, tangents):
    x, source, weight = primals
    dx, dsource, dweight = tangents
    primal = interpolate(x, source, weight)
    terms = []
    if not isinstance(dx, jax.custom_derivatives.SymbolicZero):
        terms.append(dx * (1 - weight))
    if not isinstance(dsource, jax.custom_derivatives.SymbolicZero):
        terms.append(dsource * weight)
    if not isinstance(dweight, jax.custom_derivatives.SymbolicZero):
        # A score of -inf (a key out of sight) stays -inf for every weight below 1.
        terms.append(dweight * jnp.where(jnp.isfinite(x), source - x, 0))
    tangent = sum(terms) if terms else jnp.zeros_like(primal)
    return primal, jnp.broadcast_to(tangent, primal.shape).astype(primal.dtype)


interpolate.defjvp(_interpolate_jvp, symbolic_zeros=True)


def _apply_kind(kind: Kind, x: Array, value: Array, weight: Array) -> Array:
    if kind is Kind.INTERPOLATE:
        return interpolate(x, value, weight)
    # 0 * inf is NaN; a value that is not finite must do nothing at weight 0.
    value = jnp.where((weight == 0) & ~jnp.isfinite(value), 0, value)
    if kind is Kind.ADD:
        return x + weight * value
    # A score of -inf (a key out of sight) stays so under every factor; the inner
    # selection keeps it out of the derivative too.
    finite = jnp.isfinite(x)
    scaled = jnp.where(finite, x, 0) * (1 - weight + weight * value)
    return jnp.where(finite, scaled, x)


def apply_edit(edit: Edit, x: Array, layer: Int[Array, ""]) -> Array:
    """Returns activation `x` of one sequence in `layer`, changed by `edit`.

    Here the edit has lost its row axis (the layer is vmapped over rows). In a layer
    for which the edit has no slot its weight is 0, which leaves x as it is.
    """
    here = edit.layers == layer
    slot = jnp.argmax(here)
    weight = jnp.where(here.any(), edit.weight[slot], 0).astype(x.dtype)
    value = edit.value[slot].astype(x.dtype)
    axis = edit.site.position_axis
    if edit.positions is None:
        return _apply_kind(edit.kind, x, value, weight)
    picked = jnp.take(x, edit.positions, axis=axis)
    changed = jnp.broadcast_to(
        _apply_kind(edit.kind, picked, value, weight), picked.shape
    )
    index = (slice(None),) * axis + (edit.positions,)
    return x.at[index].set(changed)


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
        self._edits = edits
        self._capture = capture
        self._layer = jnp.asarray(layer, jnp.int32)
        self.captured: list[Array | None] = [None] * len(capture)

    def __call__(self, site: Site, x: Array) -> Array:
        x = _pin_rounding(x)
        for edit in self._edits:
            if edit.site is site:
                x = _pin_rounding(apply_edit(edit, x, self._layer))
        for index, wish in enumerate(self._capture):
            if wish.site is site and wish.layers != ():
                self.captured[index] = _at_positions(wish, x)
        return x


def _at_positions(wish: Capture, x: Array) -> Array:
    if wish.positions is None:
        return x
    return jnp.take(x, wish.positions, axis=wish.site.position_axis)


def _pin_rounding(x: Array) -> Array:
    """Rounds to x's own type, so that no fusion keeps excess precision across it."""
    if x.dtype == jnp.float32 or x.dtype == jnp.float64:
        return x
    info = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, info.nexp, info.nmant)
