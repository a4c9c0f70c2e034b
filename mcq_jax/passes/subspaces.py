"""`Subspaces`: rows that swap what a site holds in directions of a basis, and outside.

A basis is shared by all rows and a row opens gates: so the first k directions for every
k, all but them, and the whole site are rows of one program.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax.interventions import Argument, Edit, Kind, Site, apply
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.readers import read_by
from mcq_jax.passes.plan import FullRows, Held, Here, Labels, check_labels, labels_of
from mcq_jax.passes.row_places import PlacedRows, units_that_differ

# How far from orthonormal a basis may be: what float32 leaves of one, and no more.
_ORTHONORMAL = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subspaces(PlacedRows):
    """Rows that each put `x + (s - x) (Bᵀ G B + o (1 - Bᵀ B))` in place of x.

    s is the source's activation, B a layer's and head's basis, G the diagonal matrix of
    the row's gates, o how much of what lies outside the basis is swapped. So gates of 1
    and o = 0 swap the span of B, gates of 0 and o = 1 all but that, 1 and 1 everything.
    A row names each of its positions once.
    """

    site: Site
    # Orthonormal vectors, or zeros in place of some, as
    # `interventions.projections.orthonormal` makes them.
    # Units are query heads (at K, V and ROT_K kv heads), or 1: one basis for all.
    basis: Float[np.ndarray, "layer #unit #selected direction last"]
    gates: Float[np.ndarray, "row layer #unit direction"]
    outside: Float[np.ndarray, "row layer #unit"] | None = None
    # Of V and ROT_K: the query heads that read the change, from the answer position
    # alone. Rows then run over one token, wherever the keys stand.
    readers: Bool[np.ndarray, "row kv_head group"] | None = None
    labels: Labels = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        basis, gates = self.basis, self.gates
        if self.outside is None:
            object.__setattr__(self, "outside", np.zeros(gates.shape[:3], np.float32))
        if not self.site.per_layer or self.site.key_axes or self.site is Site.ROT_Q:
            raise ValueError(
                f"a plan of subspaces of {self.site}; give a site of layers that has "
                f"directions: no scores or pattern, for rotated queries {Site.Q}."
            )
        fit = basis.ndim == 5 and gates.ndim == 4 and self._outside.ndim == 3
        if not fit or (
            gates.shape[1:2] + gates.shape[3:] != basis.shape[:1] + basis.shape[3:4]
            or self._outside.shape[:2] != gates.shape[:2]
        ):
            raise ValueError(
                f"a basis of shape {basis.shape}, gates {gates.shape} and outside "
                f"{self._outside.shape}; give [layer, unit, selected, direction, "
                "last], [row, layer, unit, direction] and [row, layer, unit]."
            )
        if basis.shape[2] not in (1, self.places.offsets.shape[2]):
            raise ValueError(
                f"a basis for {basis.shape[2]} positions, and rows patch "
                f"{self.places.offsets.shape[2]}; give one for each, or one for all."
            )
        ordered = np.sort(self.places.offsets, axis=2)
        if (ordered[..., 1:] == ordered[..., :-1]).any():
            raise ValueError(
                "a row of subspaces names a position twice; name each once, and give "
                "rows of fewer positions a plan of their own."
            )
        _check_orthonormal(basis)
        self.check_rows("have no gate open")
        self._check_readers()
        check_labels(self.labels, self.count)

    def _check_readers(self) -> None:
        if self.readers is None:
            return
        if self.site not in (Site.V, Site.ROT_K):
            raise ValueError(
                f"subspaces of {self.site} for some readers; only values and rotated "
                f"keys ({Site.V}, {Site.ROT_K}) are kept for others to read."
            )
        if self.readers.ndim != 3 or len(self.readers) != len(self.gates):
            raise ValueError(
                f"readers of shape {self.readers.shape} for {len(self.gates)} rows; "
                "give bool [row, kv_head, group]."
            )
        if self.places.offsets.shape[2] > 1:
            raise ValueError(
                f"{self.places.offsets.shape[2]} positions in a row for some readers; "
                "give each position a row of its own."
            )

    @property
    def _outside(self) -> np.ndarray:
        assert self.outside is not None
        return self.outside

    @property
    def _open(self) -> Bool[np.ndarray, "row layer #unit"]:
        return np.asarray(np.any(self.gates != 0, axis=3) | (self._outside != 0))

    @property
    def count(self) -> int:
        return len(self.gates)

    @property
    def by_layer(self) -> Bool[np.ndarray, "row layer"]:
        return np.asarray(self._open.any(axis=2))

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site,)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        read_only = self.readers is not None
        return np.ones(len(self.gates), int) if read_only else self.places.starts

    @property
    def edits(self) -> "SubspaceEdits":
        return SubspaceEdits(self.site, len(self.basis))

    def rows_at(self, layer: int) -> "SubspaceRows":
        own, others = self.places.by_row()
        return SubspaceRows(
            basis=self.basis[None, None, None, layer],
            gates=self.gates[None, None, :, layer],
            outside=self._outside[None, None, :, layer],
            offsets=own,
            source_offsets=others,
            readers=None if self.readers is None else self.readers[None, None],
        )

    def take(self, rows: Int[np.ndarray, " row"]) -> "Subspaces":
        return self.at(
            self.places.take(rows),
            gates=self.gates[rows],
            outside=self._outside[rows],
            readers=None if self.readers is None else self.readers[rows],
            labels=labels_of(self.labels, rows),
        )

    def all_born_first(self) -> "Subspaces":
        outside = np.ones_like(self._outside)
        return dataclasses.replace(self, outside=outside)

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        own, other = self.places.of_source(prompt, number, source)
        found = np.zeros(len(self.gates), bool)
        for layer in np.flatnonzero(self.by_layer.any(axis=0)):
            rows = np.flatnonzero(self.by_layer[:, layer])
            first, second = (held[self.site][layer, p] for p in (prompt, source))
            units = units_that_differ(self.site, first, second, own[rows], other[rows])
            open_ = self._open[rows, layer]
            if "neuron" in self.site.axes:  # which are directions, not units
                units = units.any(axis=1, keepdims=True)
            found[rows] |= (units & open_).any(axis=1)
        return found

    def full_edits(
        self, held: Held, prompt: int, source: int, length: int, config: ModelConfig
    ) -> Iterator[FullRows]:
        own, read = self.places.of_source(prompt, source)
        here = held[self.site][:, prompt, source]
        value = jnp.take(here, jnp.asarray(read + here.shape[1]), axis=1)
        units = _heads(self.site, config)

        def by_head(array, axis):
            heads = units if array.shape[axis] > 1 else (1,) * len(units)
            return array.reshape(*array.shape[:axis], *heads, *array.shape[axis + 1 :])

        basis = by_head(np.moveaxis(self.basis, 2, 1)[:, None], 3)
        gates, outside, weight = (
            by_head(np.moveaxis(a, 0, 1)[:, :, None], 3)
            for a in (self.gates, self._outside, self._open.astype(np.float32))
        )
        edit = apply(
            self.site,
            _by_projectors,
            *(Argument(jnp.asarray(a)) for a in (value, basis, gates, outside)),
            weight=weight[..., None],
            layers=range(config.layers),
            positions=length + own,
        )
        if self.readers is not None:
            at_answer = (np.arange(length) == length - 1)[:, None, None]
            edit = read_by(edit, (self.readers[:, None] & at_answer)[None])
        yield FullRows(np.arange(len(self.gates)), (edit,))


class SubspaceRows(NamedTuple):
    """`Subspaces` in a layer; offsets count from the end of what is kept."""

    basis: Float[np.ndarray, "1 1 1 #unit #selected direction last"]
    gates: Float[np.ndarray, "1 1 row #unit direction"]
    outside: Float[np.ndarray, "1 1 row #unit"]
    offsets: Int[np.ndarray, "#prompt 1 row selected"]
    source_offsets: Int[np.ndarray, "#prompt #source row selected"]
    readers: Bool[np.ndarray, "1 1 row kv_head group"] | None


@dataclasses.dataclass(frozen=True)
class SubspaceEdits:
    """The swap of one site, of weight 0 in layers and heads without an open gate."""

    site: Site
    layers: int

    def __call__(
        self, row: SubspaceRows, held: Held, here: Here, config: ModelConfig
    ) -> tuple[Edit, ...]:
        heads, source = _heads(self.site, config), held[self.site]
        units = math.prod(heads)
        sizes = {row.basis.shape[0], row.gates.shape[0], row.outside.shape[0]}
        given = (self.layers, row.basis.shape[-1])
        if not sizes <= {1, units} or given != (config.layers, source.shape[-1]):
            raise ValueError(
                f"a basis of {self.layers} layers and {sorted(sizes)} units, its "
                f"vectors of length {row.basis.shape[-1]}; {self.site} has "
                f"{config.layers} layers and {units} units (or give 1 for all), of "
                f"length {source.shape[-1]}."
            )

        def by_head(array, axis):
            sizes = heads if array.shape[axis] > 1 else (1,) * len(heads)
            return array.reshape(*array.shape[:axis], *sizes, *array.shape[axis + 1 :])

        source = jnp.take(source, row.source_offsets + len(source), axis=0)
        basis = by_head(jnp.moveaxis(row.basis, 0, 1), 1)
        gates, outside = by_head(row.gates[None], 1), by_head(row.outside[None], 1)
        outside = outside[..., None]
        weight = (gates != 0).any(-1, keepdims=True) | (outside != 0)
        arguments = (source, basis, gates, outside)
        edit = Edit(
            site=self.site,
            kind=Kind.APPLY,
            function=swap_within,
            layers=here.layer[None],
            positions=jnp.asarray(row.offsets) + len(here.positions),
            weight=weight.astype(source.dtype)[None],
            value=jnp.zeros((1,) * (1 + len(self.site.axes)), source.dtype),
            arguments=tuple(Argument(jnp.asarray(a)[None]) for a in arguments),
        )
        if row.readers is None:
            return (edit,)
        at_answer = here.positions[-1]
        readers = row.readers[None]  # [query, kv_head, group]
        if len(here.positions) > 1:
            queries = jnp.arange(here.earlier_keys + len(here.positions))
            readers = readers & (queries == at_answer)[:, None, None]
        # Keys are found by their places in the sequence.
        positions = at_answer + 1 + row.offsets
        return (dataclasses.replace(edit, positions=positions, readers=readers[None]),)


def swap_within(x: Array, source: Array, basis: Array, gates: Array, outside: Array):
    """x with what the source holds in open directions, and outside of the basis."""
    x = x.astype(jnp.float32)
    away = source.astype(jnp.float32) - x
    within = jnp.einsum("...w,...kw->...k", away, basis)
    opened = (gates - outside) * within
    return x + outside * away + jnp.einsum("...k,...kw->...w", opened, basis)


def _by_projectors(x: Array, source, basis, gates, outside):
    """The same by matrices, one for the span and one for what the gates let through."""
    span = jnp.einsum("...kw,...kv->...wv", basis, basis)
    through = jnp.einsum("...kw,...k,...kv->...wv", basis, gates, basis)
    identity = jnp.eye(x.shape[-1])[(None,) * (span.ndim - 2)]
    swapped = through + outside[..., None, None] * (identity - span)
    away = source.astype(jnp.float32) - x.astype(jnp.float32)
    return x.astype(jnp.float32) + jnp.einsum("...w,...wv->...v", away, swapped)


def _heads(site: Site, config: ModelConfig) -> tuple[int, ...]:
    sizes = {"kv_head": config.kv_heads, "group": config.group}
    return tuple(sizes[axis] for axis in site.axes[1:-1])


def _check_orthonormal(basis: np.ndarray) -> None:
    products = np.einsum("...kw,...vw->...kv", basis, basis, dtype=np.float32)
    lengths = np.einsum("...kk->...k", products)
    wanted = np.eye(basis.shape[3]) * (lengths > 0.5)[..., None]
    worst = np.abs(products - wanted).max() if basis.size else np.inf
    if not worst <= _ORTHONORMAL:
        raise ValueError(
            f"a basis whose vectors' products are off by {worst:.2g} from those of an "
            "orthonormal one; give `interventions.projections.orthonormal(basis)`."
        )
