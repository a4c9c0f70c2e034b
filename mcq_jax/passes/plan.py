"""`Plan`: the rows of a sweep, and what each of them changes. A contract.

A row is one prompt under one set of edits. A kind of plan is one class in a file of its
own (`node_sets`, `patches`, `edit_rows`); the passes know none of them. Positions count
from the end of each prompt (-1 is the answer position), which is also how prompts of
different length are aligned with their sources.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from mcq_jax.interventions import Edit, Kind, Site
from mcq_jax.model.config import ModelConfig

# What tells rows of a plan apart in its results, such as layer and head.
Labels = Mapping[str, np.ndarray]
# What sources hold at the sites of a plan, over its suffix: `[layer, prompt, source,
# *site axes]` in passes, without the source axis in banks.
Held = dict[Site, Array]


class Here(NamedTuple):
    """Where a row is: its layer, and the tokens that it runs on."""

    layer: Int[Array, ""]
    # Of the prompt's last tokens; the keys before them are the prompt's own.
    positions: Int[Array, " suffix"]
    earlier_keys: int


class RowEdits(Protocol):
    """A static function from a row and its source to edits of one layer.

    Hashable, and equal for plans of equal form: programs are kept by it.
    """

    def __call__(
        self, row: Any, held: Held, here: Here, config: ModelConfig
    ) -> tuple[Edit, ...]: ...


class Plan(Protocol):
    """What passes ask of a plan."""

    @property
    def labels(self) -> Labels: ...

    @property
    def sites(self) -> tuple[Site, ...]:
        """What of each prompt, over the suffix, sources have to hold."""
        ...

    @property
    def suffix(self) -> int:
        """How many tokens at the end of the prompts a sweep has to keep."""
        ...

    @property
    def takes_own(self) -> bool:
        """Whether rows take what the patched prompt itself holds, too.

        Sources then hold it in front of their own, along the axis of positions.
        """
        ...

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        """The first layer that each row changes."""
        ...

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        """How far from the end each row's changes begin; 1 is the answer position."""
        ...

    @property
    def edits(self) -> RowEdits: ...

    def rows_at(self, layer: int) -> Any:
        """The rows in a layer as arrays `[#prompt, #source, #row, …]`.

        Their shapes are the same in every layer. What all rows share has a row axis of
        size 1, and is not copied for each.
        """
        ...

    def take(self, rows: Int[np.ndarray, " row"]) -> Self: ...

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> Self:
        """The plan of some of the prompts, in the order given."""
        ...

    def read_from(self, sources: Int[np.ndarray, "prompt source"], whole: Self) -> Self:
        """The same rows, each source read where they patch *it* as a prompt.

        Such as a span, which stands elsewhere in every prompt.

        Args:
            sources: each prompt's sources, as places in the whole plan.
            whole: the plan of all prompts.
        """
        ...

    def all_born_first(self) -> Self:
        """As many rows that all begin in the first layer, which takes most memory."""
        ...

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        """Whether a source holds anything else at what each row patches.

        Args:
            held: of every prompt, `[layer, prompt, *site axes]`.
            number: which of the prompt's sources it is.
        """
        ...

    def full_edits(
        self, held: Held, prompt: int, source: int, length: int, config: ModelConfig
    ) -> "Iterator[FullRows]":
        """The rows of one prompt as edits of whole forward passes: for the oracle.

        Written apart from `edits`: the one is tested by the other.
        """
        ...


class FullRows(NamedTuple):
    """Rows that share a program: which they are, and their edits, one row each."""

    rows: Int[np.ndarray, " row"]
    edits: tuple[Edit, ...]


def interpolate(site: Site, value: Array, weight: Array | None, layers: Array) -> Edit:
    """Returns a patch without rows, as a layer sees it."""
    weight = jnp.ones((1,) * value.ndim) if weight is None else weight
    return Edit(
        site=site,
        kind=Kind.INTERPOLATE,
        layers=layers,
        positions=None,
        weight=weight.astype(value.dtype),
        value=value,
    )


def check_labels(labels: Labels, rows: int) -> None:
    """Raises ValueError unless every label has a value for every row."""
    for name, column in labels.items():
        if len(column) != rows:
            raise ValueError(f"{len(column)} labels {name!r} for {rows} rows.")


def labels_of(labels: Labels, rows: Int[np.ndarray, " row"]) -> Labels:
    """Returns the labels of some rows."""
    return {name: column[rows] for name, column in labels.items()}
