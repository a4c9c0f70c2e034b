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
from mcq_jax.passes.row_places import units_that_differ


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patches:
    """Rows that each patch one site in one layer, at some positions.

    Index arrays may have a leading axis of prompts; what a row has fewer of than
    others is filled up by repeating an index.
    """

    site: Site
    layers: Int[np.ndarray, " row"]
    # Positions from the end, -1 the answer's; where the source is read, too.
    offsets: Int[np.ndarray, "#prompt row selected"]
    source_offsets: Int[np.ndarray, "#prompt #source row selected"] | None = None
    # Query heads (at K and V kv heads) or neurons; None: all of the site.
    units: Int[np.ndarray, "row selected"] | None = None
    # Of V and ROT_K: the query heads that read the change (see `model.read_by`), in
    # every query of the suffix; None is all of them.
    readers: Bool[np.ndarray, "row kv_head group"] | None = None
    labels: Labels = dataclasses.field(default_factory=dict)

    takes_own = False

    def __post_init__(self):
        rows = len(self.layers)
        if not rows or self.offsets.shape[1] != rows or self.offsets.max() >= 0:
            raise ValueError(
                f"{rows} layers and offsets {self.offsets.shape} up to "
                f"{self.offsets.max()}; give one layer per row, and offsets [prompt, "
                "row, selected] that count from the end: -1 is the answer position."
            )
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
        check_labels(self.labels, rows)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site,)

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return self.layers

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        return -self.offsets.min(axis=(0, 2))

    @property
    def suffix(self) -> int:
        earliest = int(self.starts.max())
        if self.source_offsets is not None:
            earliest = max(earliest, -int(self.source_offsets.min()))
        return earliest

    @property
    def edits(self) -> "SiteEdits":
        return SiteEdits(self.site)

    def rows_at(self, layer: int) -> "PatchRows":
        offsets, sources = self.offsets[:, None], self.source_offsets
        return PatchRows(
            layers=self.layers[None, None],
            offsets=offsets,
            source_offsets=offsets if sources is None else sources,
            units=None if self.units is None else self.units[None, None],
            readers=None if self.readers is None else self.readers[None, None],
        )

    def take(self, rows: Int[np.ndarray, " row"]) -> "Patches":
        sources, units = self.source_offsets, self.units
        return dataclasses.replace(
            self,
            layers=self.layers[rows],
            offsets=self.offsets[:, rows],
            source_offsets=None if sources is None else sources[:, :, rows],
            units=None if units is None else units[rows],
            readers=None if self.readers is None else self.readers[rows],
            labels=labels_of(self.labels, rows),
        )

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "Patches":
        sources = self.source_offsets
        if sources is not None and len(sources) > 1:
            sources = sources[prompts]
        offsets = self.offsets[prompts] if len(self.offsets) > 1 else self.offsets
        return dataclasses.replace(self, offsets=offsets, source_offsets=sources)

    def read_from(
        self, sources: Int[np.ndarray, "prompt source"], whole: "Patches"
    ) -> "Patches":
        if len(whole.offsets) == 1 or whole.source_offsets is not None:
            return self
        return dataclasses.replace(self, source_offsets=whole.offsets[sources])

    def all_born_first(self) -> "Patches":
        return dataclasses.replace(self, layers=np.zeros_like(self.layers))

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        values = held[self.site]
        own = self.offsets[prompt % len(self.offsets)]
        other = self.offsets[source % len(self.offsets)]
        if self.source_offsets is not None:
            table = self.source_offsets[prompt % len(self.source_offsets)]
            other = table[number % len(table)]
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
        offsets = self.offsets[min(prompt, len(self.offsets) - 1)]
        read = offsets
        if self.source_offsets is not None:
            table = self.source_offsets
            read = table[min(prompt, len(table) - 1)]
            read = read[min(source, len(read) - 1)]
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
