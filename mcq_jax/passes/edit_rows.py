"""`EditRows`: rows of ordinary edits that take nothing from a source.

An added direction, a scale, a projection, a user's own function: whatever an `Edit` can
say, with a layer of its own in every row.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.interventions import Edit, Site
from mcq_jax.interventions.rows import NO_ROWS, row_axes
from mcq_jax.model.config import ModelConfig
from mcq_jax.passes.plan import FullRows, Held, Here, Labels, check_labels, labels_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditRows:
    """Rows of which each makes one edit, in a layer of its own.

    Sweep it with `Ablation.ZERO` for sources: there are none to read.
    """

    # Of one slot and with a row axis of the plan's rows, or of 1; no layers. Its
    # positions count from the end of each prompt: -1 is the answer position.
    edit: Edit
    layers: Int[np.ndarray, " row"]
    labels: Labels = dataclasses.field(default_factory=dict)

    # One small site, so that sources have a shape.
    sites = (Site.MLP_OUT,)
    takes_own = False

    def __post_init__(self):
        edit, rows = self.edit, len(self.layers)
        if edit.layers is not None or edit.slots != 1 or edit.positions is None:
            raise ValueError(
                f"the edit of a plan is {edit}; leave out its layers (the plan has one "
                "for each row) and give positions that count from the end: [-1]."
            )
        if not edit.site.per_layer or np.asarray(edit.positions).max() >= 0:
            raise ValueError(
                f"the edit of a plan is {edit}; give a site of layers, and positions "
                "that count from the end: -1 is the answer position."
            )
        sizes = {
            leaf.shape[axis]
            for leaf, axis in zip(jax.tree.leaves(edit), row_axes(edit), strict=True)
            if axis != NO_ROWS
        }
        if not sizes <= {1, rows}:
            raise ValueError(
                f"{rows} layers, and an edit with arrays for {sorted(sizes)} rows; "
                "give one per row of the plan, or one for all."
            )
        check_labels(self.labels, rows)

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return self.layers

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        starts = -np.asarray(self.edit.positions).min(axis=1)
        return np.broadcast_to(starts, len(self.layers)).astype(int)

    @property
    def suffix(self) -> int:
        return int(self.starts.max())

    @property
    def edits(self) -> "OneEdit":
        leaves, structure = jax.tree.flatten(self.edit)
        del leaves
        return OneEdit(structure)

    def rows_at(self, layer: int) -> Any:
        """Layers `[1, 1, row]`, and the leaves of the edit, rows in that place."""
        pairs = zip(jax.tree.leaves(self.edit), row_axes(self.edit), strict=True)
        leaves = [np.moveaxis(np.asarray(leaf), axis, 0) for leaf, axis in pairs]
        rows = len(self.layers)
        spread = [np.broadcast_to(a, (rows, *a.shape[1:]))[None, None] for a in leaves]
        return self.layers[None, None], spread

    def take(self, rows: Int[np.ndarray, " row"]) -> "EditRows":
        leaves, structure = jax.tree.flatten(self.edit)
        taken = [
            leaf if leaf.shape[axis] == 1 else jnp.take(leaf, rows, axis=axis)
            for leaf, axis in zip(leaves, row_axes(self.edit), strict=True)
        ]
        return EditRows(
            edit=jax.tree.unflatten(structure, taken),
            layers=self.layers[rows],
            labels=labels_of(self.labels, rows),
        )

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "EditRows":
        return self

    def read_from(self, sources: Int[np.ndarray, "prompt source"], whole) -> "EditRows":
        return self

    def all_born_first(self) -> "EditRows":
        return dataclasses.replace(self, layers=np.zeros_like(self.layers))

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        return np.ones(len(self.layers), bool)

    def full_edits(
        self, held: Held, prompt: int, source: int, length: int, config: ModelConfig
    ) -> Iterator[FullRows]:
        for layer in np.unique(self.layers):
            rows = np.flatnonzero(self.layers == layer)
            edit = self.take(rows).edit
            assert edit.positions is not None
            here = dataclasses.replace(
                edit,
                layers=jnp.array([layer], jnp.int32),
                positions=length + edit.positions,
            )
            yield FullRows(rows, (here,))


@dataclasses.dataclass(frozen=True)
class OneEdit:
    """The edit of a row, from its leaves; `structure` is what all rows share."""

    structure: Any

    def __call__(self, row, held: Held, here: Here, config: ModelConfig):
        layer, leaves = row
        # Within a layer an edit has lost its row axis, which stood where rows were.
        edit = jax.tree.unflatten(self.structure, leaves)
        return (
            dataclasses.replace(
                edit,
                layers=jnp.asarray(layer)[None],
                positions=edit.positions + len(here.positions),
            ),
        )
