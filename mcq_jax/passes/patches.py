"""`Patches`: rows that each patch one site in one layer, at any positions."""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Edit, Site, patch
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.readers import read_by
from mcq_jax.passes.plan import (
    FullRows,
    Held,
    Here,
    Labels,
    check_labels,
    interpolate,
    labels_of,
)
from mcq_jax.passes.row_places import PlacedRows, units_that_differ


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patches(PlacedRows):
    """Rows that each patch one site in one layer, at some positions."""

    site: Site
    layers: Int[np.ndarray, " row"]
    # Query heads (at K and V kv heads) or neurons; None: all of the site.
    units: Int[np.ndarray, "row selected"] | None = None
    # Of V and ROT_K: the query heads that read the change (see `model.read_by`), in
    # every query of the suffix; None is all of them.
    readers: Bool[np.ndarray, "row kv_head group"] | None = None
    labels: Labels = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.check_rows("have no layer")
        if not self.site.per_layer or self.site in (Site.SCORES, Site.ROT_Q):
            raise ValueError(
                f"a plan of {self.site}; plans patch sites of layers, for scores "
                f"{Site.PATTERN}, for rotated queries {Site.Q}."
            )
        if self.readers is not None and self.site not in (Site.V, Site.ROT_K):
            raise ValueError(
                f"a plan of {self.site} for some readers; only values and rotated keys "
                f"({Site.V}, {Site.ROT_K}) are kept for others to read."
            )
        check_labels(self.labels, self.count)

    @property
    def count(self) -> int:
        return len(self.layers)

    @property
    def by_layer(self) -> Bool[np.ndarray, "row layer"]:
        return self.layers[:, None] == np.arange(self.layers.max(initial=-1) + 1)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site,)

    @property
    def edits(self) -> "SiteEdits":
        return SiteEdits(self.site)

    def rows_at(self, layer: int) -> "PatchRows":
        own, read = self.places.by_row()
        return PatchRows(
            layers=self.layers[None, None],
            offsets=own,
            source_offsets=read,
            units=None if self.units is None else self.units[None, None],
            readers=None if self.readers is None else self.readers[None, None],
        )

    def take(self, rows: Int[np.ndarray, " row"]) -> "Patches":
        return self.at(
            self.places.take(rows),
            layers=self.layers[rows],
            units=None if self.units is None else self.units[rows],
            readers=None if self.readers is None else self.readers[rows],
            labels=labels_of(self.labels, rows),
        )

    def all_born_first(self) -> "Patches":
        return dataclasses.replace(self, layers=np.zeros_like(self.layers))

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        values = held[self.site]
        own, other = self.places.of_source(prompt, number, source)
        found = np.zeros(len(self.layers), bool)
        for layer in np.unique(self.layers):
            rows = np.flatnonzero(self.layers == layer)
            first, second = (values[layer, p] for p in (prompt, source))
            units = units_that_differ(self.site, first, second, own[rows], other[rows])
            if self.units is not None:
                units = np.take_along_axis(units, self.units[rows], axis=1)
            found[rows] = units.any(axis=1)
        return found

    def full_edits(
        self, held: Held, prompt: int, source: int, length: int, config: ModelConfig
    ) -> Iterator[FullRows]:
        for layer in np.unique(self.layers):
            rows = np.flatnonzero(self.layers == layer)
            here = held[self.site][layer, prompt, source]
            edit = self.take(rows)._edit_of_a_layer(here, prompt, source, length)
            yield FullRows(rows, (edit,))

    def _edit_of_a_layer(self, here, prompt: int, source: int, length: int) -> Edit:
        """All rows patch one layer; `here` is the source's site in it."""
        axis = self.site.position_axis
        offsets, read = self.places.of_source(prompt, source)
        value = jnp.take(here, jnp.asarray(read + here.shape[axis]), axis=axis)
        value = jnp.moveaxis(value, axis, 0)  # rows first
        named = {None: {}, "head": {"heads": self.units}}
        named["neuron"] = {"neurons": self.units}
        edit = patch(
            self.site,
            value[None],
            layers=self.layers[:1],
            positions=length + offsets,
            **named[None if self.units is None else self.site.unit],
        )
        if self.readers is None:
            return edit
        return read_by(edit, self.readers[None, :, None])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PatchRows:
    """`Patches` as arrays; offsets count from the end of what is kept of a prompt."""

    layers: Int[AnyArray, "1 1 row"]
    offsets: Int[np.ndarray, "#prompt 1 row selected"]
    source_offsets: Int[np.ndarray, "#prompt #source row selected"]
    units: Int[np.ndarray, "1 1 row selected"] | None
    readers: Bool[np.ndarray, "1 1 row kv_head group"] | None


@dataclasses.dataclass(frozen=True)
class SiteEdits:
    """The patch of one site at a row's positions, heads or neurons."""

    site: Site

    def __call__(self, row: PatchRows, held: Held, here: Here, config: ModelConfig):
        axis, source = self.site.position_axis, held[self.site]
        value = jnp.take(source, row.source_offsets + source.shape[axis], axis=axis)
        if self.site is Site.PATTERN:
            value = as_keys_stand(value, here)
        edit = interpolate(self.site, value[None], None, jnp.asarray(row.layers)[None])
        units = None if row.units is None else row.units[None]
        positions = row.offsets + len(here.positions)
        readers = None if row.readers is None else row.readers[None, None]
        if readers is not None:  # which find their keys by the places in the sequence
            positions = here.positions[positions]
        return (
            dataclasses.replace(
                edit, positions=positions, units=units, readers=readers
            ),
        )


def as_keys_stand(pattern, here: Here):
    """A pattern `[…, key]` over a padded prompt, as the keys of a resumed row stand.

    These are the prompt's first keys, of which those in the suffix are masked, and then
    the suffix's own.
    """
    first = here.positions[0]
    is_earlier = jnp.arange(here.earlier_keys) < first
    earlier = jnp.where(is_earlier, pattern[..., : here.earlier_keys], 0)
    own = jax.lax.dynamic_slice_in_dim(
        pattern, first, len(here.positions), axis=pattern.ndim - 1
    )
    return jnp.concatenate([earlier, own], axis=-1)
