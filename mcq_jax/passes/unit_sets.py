"""`UnitSets`: rows that patch units of several sites in several layers, as masks.

Heads, neurons, queries, keys, values, whole streams: what `NodeSets` does for nodes at
the answer position, for any sites at any positions.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.interventions import Edit, Site, patch
from mcq_jax.model.config import ModelConfig
from mcq_jax.passes.patches import as_keys_stand
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
class UnitSets(PlacedRows):
    """Rows that each patch some units of some sites, in any layers.

    Units are query heads (at K, V and ROT_K kv heads) or neurons; a site that has
    neither is one unit.
    """

    masks: Mapping[Site, Bool[np.ndarray, "row layer unit"]]
    labels: Labels = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        shapes = {site.label: mask.shape for site, mask in self.masks.items()}
        if len({shape[:2] for shape in shapes.values()}) != 1 or any(
            mask.ndim != 3 or mask.dtype != bool for mask in self.masks.values()
        ):
            raise ValueError(
                f"masks of shapes {shapes}; give at least one site, and for each bool "
                "[row, layer, unit] with the same rows and layers."
            )
        for site in self.masks:
            if not site.per_layer or site in (Site.SCORES, Site.ROT_Q):
                raise ValueError(
                    f"sets of {site}; plans patch sites of layers, for scores "
                    f"{Site.PATTERN}, for rotated queries {Site.Q}."
                )
        self.check_rows("patch no unit")
        check_labels(self.labels, self.count)

    @property
    def count(self) -> int:
        return len(next(iter(self.masks.values())))

    @property
    def by_layer(self) -> Bool[np.ndarray, "row layer"]:
        return np.logical_or.reduce([mask.any(axis=2) for mask in self.masks.values()])

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(sorted(self.masks))

    @property
    def edits(self) -> "UnitEdits":
        return UnitEdits(self.by_layer.shape[1])

    def rows_at(self, layer: int) -> "UnitRows":
        masks = {site: mask[None, None, :, layer] for site, mask in self.masks.items()}
        return UnitRows(masks, *self.places.by_row())

    def take(self, rows: Int[np.ndarray, " row"]) -> "UnitSets":
        return self.at(
            self.places.take(rows),
            masks={site: mask[rows] for site, mask in self.masks.items()},
            labels=labels_of(self.labels, rows),
        )

    def all_born_first(self) -> "UnitSets":
        masks = {site: np.zeros_like(mask) for site, mask in self.masks.items()}
        for mask in masks.values():
            mask[:, 0] = True
        return dataclasses.replace(self, masks=masks)

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        own, other = self.places.of_source(prompt, number, source)
        found = np.zeros(self.count, bool)
        for site, mask in self.masks.items():
            for layer in np.flatnonzero(mask.any(axis=(0, 2))):
                rows = np.flatnonzero(mask[:, layer].any(axis=1))
                first, second = (held[site][layer, p] for p in (prompt, source))
                units = units_that_differ(site, first, second, own[rows], other[rows])
                found[rows] |= (units & mask[rows, layer]).any(axis=1)
        return found

    def full_edits(
        self, held: Held, prompt: int, source: int, length: int, config: ModelConfig
    ) -> Iterator[FullRows]:
        own, read = self.places.of_source(prompt, source)
        edits = []
        for site, mask in self.masks.items():
            here, axis = held[site][:, prompt, source], 1 + site.position_axis
            value = jnp.take(here, jnp.asarray(read + here.shape[axis]), axis=axis)
            by_layer = np.moveaxis(mask, 0, 1).astype(np.float32)
            edits.append(
                patch(
                    site,
                    jnp.moveaxis(value, axis, 1),  # layers, rows
                    weight=by_layer.reshape(*by_layer.shape[:2], *_units(site, config)),
                    layers=range(config.layers),
                    positions=length + own,
                )
            )
        yield FullRows(np.arange(self.count), tuple(edits))


class UnitRows(NamedTuple):
    """`UnitSets` in a layer; offsets count from the end of what is kept."""

    masks: dict[Site, Bool[np.ndarray, "1 1 row unit"]]
    offsets: Int[np.ndarray, "#prompt 1 row selected"]
    source_offsets: Int[np.ndarray, "#prompt #source row selected"]


@dataclasses.dataclass(frozen=True)
class UnitEdits:
    """One patch for each site, of weight 0 at the units that a row leaves alone."""

    layers: int

    def __call__(
        self, row: UnitRows, held: Held, here: Here, config: ModelConfig
    ) -> tuple[Edit, ...]:
        if self.layers != config.layers:
            raise ValueError(
                f"masks of {self.layers} layers; the model has {config.layers}."
            )
        edits = []
        for site, mask in row.masks.items():
            shape, axis = _units(site, config), site.position_axis
            if mask.size != math.prod(shape):
                raise ValueError(
                    f"masks of {site} have {mask.size} units; the model has "
                    f"{math.prod(shape)} ({site.unit or 'no'} units)."
                )
            source = held[site]
            value = jnp.take(source, row.source_offsets + source.shape[axis], axis=axis)
            if site is Site.PATTERN:
                value = as_keys_stand(value, here)
            weight = jnp.asarray(mask).reshape(1, *shape)
            edit = interpolate(site, value[None], weight, here.layer[None])
            positions = row.offsets + len(here.positions)
            edits.append(dataclasses.replace(edit, positions=positions))
        return tuple(edits)


def _units(site: Site, config: ModelConfig) -> tuple[int, ...]:
    """The site's axes: its units, and 1 for all others."""
    sizes = {
        "kv_head": config.kv_heads, "group": config.group, "neuron": config.neurons
    }  # fmt: skip
    return tuple(sizes.get(axis, 1) for axis in site.axes)
