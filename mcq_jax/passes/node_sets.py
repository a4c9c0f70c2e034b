"""`NodeSets`: rows that patch sets of nodes at the answer position, as masks."""

import dataclasses
from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.interventions import Edit, Site, patch
from mcq_jax.model.config import ModelConfig
from mcq_jax.passes.plan import (
    FullRows,
    Held,
    Here,
    Labels,
    check_labels,
    interpolate,
    labels_of,
)


@dataclasses.dataclass(frozen=True)
class NodeSets:
    """Rows that patch sets of nodes at the answer position."""

    masks: Bool[np.ndarray, "row layer node"]
    labels: Labels = dataclasses.field(default_factory=dict)

    suffix = 1
    sites = (Site.Z, Site.MLP_OUT)

    def __post_init__(self):
        empty = np.flatnonzero(~self.masks.any(axis=(1, 2)))
        if len(empty) or not len(self.masks):
            raise ValueError(
                f"rows {empty.tolist()} of {len(self.masks)} patch no node; give every "
                "row at least one."
            )
        check_labels(self.labels, len(self.masks))

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return self.masks.any(axis=2).argmax(axis=1)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        return np.ones(len(self.masks), int)

    @property
    def edits(self):
        return set_edits

    def rows_at(self, layer: int) -> Bool[np.ndarray, "1 1 row node"]:
        return self.masks[None, None, :, layer]

    def take(self, rows: Int[np.ndarray, " row"]) -> "NodeSets":
        return NodeSets(self.masks[rows], labels_of(self.labels, rows))

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "NodeSets":
        return self

    def read_from(self, sources: Int[np.ndarray, "prompt source"], whole) -> "NodeSets":
        return self

    def all_born_first(self) -> "NodeSets":
        masks = np.zeros_like(self.masks)
        masks[:, 0, 0] = True
        return NodeSets(masks)

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        z, mlp = held[Site.Z], held[Site.MLP_OUT][:, :, :, None]
        by_node = [
            (a[:, prompt] != a[:, source]).reshape(len(a), -1, a.shape[-1]).any(-1)
            for a in (z, mlp)
        ]
        differing = np.concatenate(by_node, axis=1).reshape(-1).astype(np.float32)
        masks = self.masks.reshape(len(self.masks), -1).astype(np.float32)
        return masks @ differing > 0

    def full_edits(
        self, held: Held, prompt: int, source: int, length: int, config: ModelConfig
    ) -> Iterator[FullRows]:
        masks = jnp.moveaxis(jnp.asarray(self.masks), 0, 1)[:, :, None]
        shape = (*masks.shape[:3], config.kv_heads, config.group, 1)
        z, mlp = (held[site][:, prompt, source][:, None] for site in self.sites)
        where = dict(layers=range(config.layers), positions=[[length - 1]])
        heads, blocks = masks[..., : config.heads], masks[..., config.heads :]
        edits = (
            patch(Site.Z, z, weight=heads.reshape(shape), **where),
            patch(Site.MLP_OUT, mlp, weight=blocks, **where),
        )
        yield FullRows(np.arange(len(self.masks)), edits)


def set_edits(row, held: Held, here: Here, config: ModelConfig) -> tuple[Edit, ...]:
    """The nodes of a mask: heads, and the feed-forward block."""
    heads = row[: config.heads].reshape(1, 1, config.kv_heads, config.group, 1)
    block = row[None, None, config.heads :]
    return (
        interpolate(Site.Z, held[Site.Z][None], heads, here.layer[None]),
        interpolate(Site.MLP_OUT, held[Site.MLP_OUT][None], block, here.layer[None]),
    )
