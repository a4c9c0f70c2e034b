"""Plans: the rows of a sweep, and what each of them patches.

Two kinds. `NodeSets` patches any set of nodes at the answer position: masks. `Patches`
patches one site in one layer per row, at any positions: index arrays. Positions count
from the end of each prompt (-1 is the answer position), which is also how prompts of
different length are aligned with their sources. `named_plans` writes the usual ones.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.interventions import Site

# What tells rows of a plan apart in its results, such as layer and head.
Labels = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class NodeSets:
    """Rows that patch sets of nodes at the answer position."""

    masks: Bool[np.ndarray, "row layer node"]
    labels: Labels = dataclasses.field(default_factory=dict)

    suffix = 1

    def __post_init__(self):
        empty = np.flatnonzero(~self.masks.any(axis=(1, 2)))
        if len(empty) or not len(self.masks):
            raise ValueError(
                f"rows {empty.tolist()} of {len(self.masks)} patch no node; give every "
                "row at least one."
            )
        _check_labels(self.labels, len(self.masks))

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site.Z, Site.MLP_OUT)

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        """The first patched layer of each row."""
        return self.masks.any(axis=2).argmax(axis=1)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        """How far from the end each row's patches begin: 1, the answer position."""
        return np.ones(len(self.masks), int)

    def take(self, rows: Int[np.ndarray, " row"]) -> "NodeSets":
        labels = {name: column[rows] for name, column in self.labels.items()}
        return NodeSets(self.masks[rows], labels)


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
    labels: Labels = dataclasses.field(default_factory=dict)

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
                f"a plan of {self.site}; plans patch sites of layers, patterns after "
                "the softmax and queries and keys before rotation."
            )
        _check_labels(self.labels, rows)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site,)

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return self.layers

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        """How far from the end each row's patches begin, in the earliest prompt."""
        return -self.offsets.min(axis=(0, 2))

    @property
    def suffix(self) -> int:
        """How many tokens at the end of the prompts a sweep has to keep."""
        earliest = int(self.starts.max())
        if self.source_offsets is not None:
            earliest = max(earliest, -int(self.source_offsets.min()))
        return earliest

    def take(self, rows: Int[np.ndarray, " row"]) -> "Patches":
        sources, units = self.source_offsets, self.units
        return dataclasses.replace(
            self,
            layers=self.layers[rows],
            offsets=self.offsets[:, rows],
            source_offsets=None if sources is None else sources[:, :, rows],
            units=None if units is None else units[rows],
            labels={name: column[rows] for name, column in self.labels.items()},
        )

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "Patches":
        """Returns the plan of some of the prompts, in the order given."""
        sources = self.source_offsets
        if sources is not None and len(sources) > 1:
            sources = sources[prompts]
        offsets = self.offsets[prompts] if len(self.offsets) > 1 else self.offsets
        return dataclasses.replace(self, offsets=offsets, source_offsets=sources)


Plan = NodeSets | Patches


def _check_labels(labels: Labels, rows: int) -> None:
    for name, column in labels.items():
        if len(column) != rows:
            raise ValueError(f"{len(column)} labels {name!r} for {rows} rows.")
