"""`NodeSets`: rows that patch sets of nodes at the answer position, as masks."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

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
from mcq_jax.results.identity import ADDED_LATER


@dataclasses.dataclass(frozen=True)
class NodeSets:
    """Rows that patch sets of nodes at the answer position."""

    masks: Bool[np.ndarray, "row layer node"]
    labels: Labels = dataclasses.field(default_factory=dict)
    # Nodes that write what they write in the patched prompt's own run, whatever reaches
    # them (screening off); None: no row keeps any.
    kept: Bool[np.ndarray, "row layer node"] | None = dataclasses.field(
        default=None, metadata=ADDED_LATER
    )

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
        if self.kept is None:
            return
        if self.kept.shape != self.masks.shape:
            raise ValueError(
                f"masks {self.masks.shape} of nodes to patch, and {self.kept.shape} of "
                "nodes to keep; give both [row, layer, node]."
            )
        both = np.flatnonzero((self.masks & self.kept).any(axis=(1, 2)))
        if len(both):
            raise ValueError(
                f"rows {both.tolist()} patch a node and keep it; give each node one of "
                "the two."
            )

    @property
    def takes_own(self) -> bool:
        return self.kept is not None

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return self.masks.any(axis=2).argmax(axis=1)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        return np.ones(len(self.masks), int)

    @property
    def edits(self):
        return set_edits if self.kept is None else set_and_kept_edits

    def rows_at(self, layer: int):
        """Masks `[1, 1, row, node]`: of what is patched, and of what is kept."""
        patched = self.masks[None, None, :, layer]
        return (
            patched if self.kept is None else (patched, self.kept[None, None, :, layer])
        )

    def take(self, rows: Int[np.ndarray, " row"]) -> "NodeSets":
        """Some rows; those that keep nothing are known as of a plan without `kept`."""
        kept = None if self.kept is None else self.kept[rows]
        if kept is not None and not kept.any():
            kept = None
        return NodeSets(self.masks[rows], labels_of(self.labels, rows), kept)

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "NodeSets":
        return self

    def read_from(self, sources: Int[np.ndarray, "prompt source"], whole) -> "NodeSets":
        return self

    def all_born_first(self) -> "NodeSets":
        masks = np.zeros_like(self.masks)
        masks[:, 0, 0] = True
        return NodeSets(masks, kept=None if self.kept is None else self.kept & False)

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        z, mlp = (held[site][:, :, -1:] for site in self.sites)
        mlp = mlp[:, :, :, None]
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
        kept = np.zeros_like(self.masks) if self.kept is None else self.kept
        both = np.stack([self.masks, kept], axis=-1)  # [row, layer, node, kind]
        both = jnp.moveaxis(jnp.asarray(both), 0, 1)[:, :, None]
        shape = (*both.shape[:3], config.kv_heads, config.group, 1, 2)
        where = dict(layers=range(config.layers), positions=[[length - 1]])
        edits = []
        for site, nodes in (
            (Site.Z, both[..., : config.heads, :].reshape(shape)),
            (Site.MLP_OUT, both[..., config.heads :, :]),
        ):
            both_hold = held[site][:, prompt, source][:, None]
            value = both_hold[:, :, -1:]  # [layer, 1, position, …]
            if self.kept is not None:
                own = both_hold.shape[2] // 2 - 1
                value = jnp.where(nodes[..., 1], both_hold[:, :, own : own + 1], value)
            edits.append(patch(site, value, weight=nodes.any(-1), **where))
        yield FullRows(np.arange(len(self.masks)), tuple(edits))


def set_edits(row, held: Held, here: Here, config: ModelConfig) -> tuple[Edit, ...]:
    """The nodes of a mask: heads, and the feed-forward block."""
    weights = _by_site(row, config)
    edits = [
        interpolate(site, held[site][None, -1:], weights[site], here.layer[None])
        for site in NodeSets.sites
    ]
    return _at_answer(edits, here)


def set_and_kept_edits(
    row, held: Held, here: Here, config: ModelConfig
) -> tuple[Edit, ...]:
    """The same, and the nodes of a second mask as the prompt itself has them."""
    patched, kept = (_by_site(mask, config) for mask in row)
    edits = []
    for site in NodeSets.sites:
        answer = len(held[site]) // 2 - 1  # of the prompt's own, in front
        own, source = held[site][None, answer : answer + 1], held[site][None, -1:]
        value = jnp.where(kept[site], own, source)
        weight = patched[site] | kept[site]
        edits.append(interpolate(site, value, weight, here.layer[None]))
    return _at_answer(edits, here)


def _at_answer(edits: Sequence[Edit], here: Here) -> tuple[Edit, ...]:
    """The edits at the answer position, also of rows that run over more tokens."""
    if len(here.positions) == 1:
        return tuple(edits)
    last = jnp.array([len(here.positions) - 1])
    return tuple(dataclasses.replace(edit, positions=last) for edit in edits)


def _by_site(mask: Bool[Array, " node"], config: ModelConfig) -> dict[Site, Array]:
    """A mask of nodes as weights of each site, `[slot, position, …]`."""
    heads = mask[: config.heads].reshape(1, 1, config.kv_heads, config.group, 1)
    return {Site.Z: heads, Site.MLP_OUT: mask[None, None, config.heads :]}
