"""`RowPlaces`: at which positions rows patch, and where each source is read.

`PlacedRows` is what plans of such rows have in common.
"""

import dataclasses
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Site


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowPlaces:
    """Positions of a plan's rows, counted from the end: -1 is the answer position.

    What a row has fewer of than others is filled up by repeating a position.
    """

    offsets: Int[np.ndarray, "#prompt row selected"]
    # Where the source is read; None is where the prompt itself is patched.
    source_offsets: Int[np.ndarray, "#prompt #source row selected"] | None = None

    @classmethod
    def of_rows(cls, offsets: Int[AnyArray, "..."], rows: int) -> "RowPlaces":
        """Returns places from what people give: the same for all rows, or each its own.

        Args:
            offsets: `[selected]`, `[row, selected]` or `[prompt, row, selected]`.
        """
        array = np.asarray(offsets)
        shape = (1,) * (3 - array.ndim) + array.shape
        if array.ndim not in (1, 2, 3) or shape[1] not in (1, rows) or not array.size:
            raise ValueError(
                f"offsets of shape {array.shape} for {rows} rows; give [selected], "
                "[row, selected] or [prompt, row, selected]."
            )
        if not np.issubdtype(array.dtype, np.integer) or array.max() >= 0:
            raise ValueError(
                f"offsets {array.dtype} up to {array.max()}; give whole numbers that "
                "count from the end: -1 is the answer position."
            )
        whole = np.broadcast_to(array.reshape(shape), (shape[0], rows, shape[2]))
        return cls(offsets=whole)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        """How far from the end each row's changes begin."""
        return -self.offsets.min(axis=(0, 2))

    @property
    def suffix(self) -> int:
        """How many last tokens sources have to hold."""
        earliest = self.starts.max()
        if self.source_offsets is not None:
            earliest = max(earliest, -self.source_offsets.min())
        return int(earliest)

    def by_row(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions, and those of the sources: `[#prompt, #source, row, selected]`."""
        own, others = self.offsets[:, None], self.source_offsets
        return own, own if others is None else others

    def of_source(self, prompt: int, number: int, source: int | None = None):
        """Positions `[row, selected]` of a prompt, and of one of its sources.

        Args:
            number: which of the prompt's sources it is.
            source: the prompt that the source is, where it is one with places of its
                own; None where `source_offsets` say all.
        """
        own = self.offsets[prompt % len(self.offsets)]
        if self.source_offsets is not None:
            table = self.source_offsets[prompt % len(self.source_offsets)]
            return own, table[number % len(table)]
        return own, own if source is None else self.offsets[source % len(self.offsets)]

    def take(self, rows: Int[np.ndarray, " row"]) -> "RowPlaces":
        others = self.source_offsets
        return RowPlaces(
            offsets=self.offsets[:, rows],
            source_offsets=None if others is None else others[:, :, rows],
        )

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "RowPlaces":
        def some(table):
            return table if table is None or len(table) == 1 else table[prompts]

        return RowPlaces(
            offsets=some(self.offsets), source_offsets=some(self.source_offsets)
        )

    def read_from(
        self, sources: Int[np.ndarray, "prompt source"], whole: "RowPlaces"
    ) -> "RowPlaces":
        if len(whole.offsets) == 1 or whole.source_offsets is not None:
            return self
        return dataclasses.replace(self, source_offsets=whole.offsets[sources])


ANSWER = np.array([-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlacedRows:
    """A plan's rows that each change some layers at some positions."""

    # Positions from the end that a row patches, as `RowPlaces.of_rows` reads them.
    offsets: Int[np.ndarray, "..."] = dataclasses.field(default_factory=ANSWER.copy)
    source_offsets: Int[np.ndarray, "#prompt #source row selected"] | None = None

    takes_own = False

    @property
    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    @property
    def by_layer(self) -> Bool[np.ndarray, "row layer"]:
        """Whether a row changes anything in a layer."""
        raise NotImplementedError

    @property
    def places(self) -> RowPlaces:
        places = RowPlaces.of_rows(self.offsets, self.count)
        return dataclasses.replace(places, source_offsets=self.source_offsets)

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return self.by_layer.argmax(axis=1)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        return self.places.starts

    @property
    def suffix(self) -> int:
        return self.places.suffix

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> Self:
        return self.at(self.places.of(prompts))

    def read_from(self, sources: Int[np.ndarray, "prompt source"], whole: Self) -> Self:
        return self.at(self.places.read_from(sources, whole.places))

    def at(self, places: RowPlaces, **changes: Any) -> Self:
        """Returns the same rows elsewhere, with other fields if any are given."""
        others = places.source_offsets
        return dataclasses.replace(
            self, offsets=places.offsets, source_offsets=others, **changes
        )

    def check_rows(self, what: str) -> None:
        """Refuses offsets that are none, and rows that change nothing."""
        empty = np.flatnonzero(~self.by_layer.any(axis=1))
        if len(empty) or not self.count:
            raise ValueError(
                f"rows {empty.tolist()} of {self.count} {what}; give every row at "
                "least one."
            )
        self.places  # noqa: B018


def units_that_differ(
    site: Site,
    first: np.ndarray,
    second: np.ndarray,
    own: Int[np.ndarray, "row selected"],
    other: Int[np.ndarray, "row selected"],
) -> Bool[np.ndarray, "row unit"]:
    """Returns in which heads or neurons two prompts hold anything else in one layer.

    Args:
        first: `[*site axes]`, read at the positions `own`, which count from the end.
        second: the same, at `other`.
    """
    axis = site.position_axis
    size = first.shape[axis]
    read = (np.take(a, p + size, axis) for a, p in ((first, own), (second, other)))
    # [row, selected, …], the site's axes but its position behind.
    differs = np.moveaxis(np.not_equal(*read), (axis, axis + 1), (0, 1))
    names = [i for i in range(len(site.axes)) if i != axis]
    kept = [2 + names.index(unit) for unit in site.unit_axes]
    others = tuple(i for i in range(1, differs.ndim) if i not in kept)
    return np.any(differs, axis=others).reshape(len(own), -1)
