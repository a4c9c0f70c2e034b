"""The walk through the layers behind `patch_paths`: what each receiver makes of it."""

import collections
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mcq_jax.interventions import Capture, Edge, Edit, Node, Site, patch
from mcq_jax.interventions.circuits import FINAL, HEAD_INPUTS, Input
from mcq_jax.interventions.selection import Indices
from mcq_jax.model import ModelConfig, Parameters, read_by
from mcq_jax.model.attention import head_writes
from mcq_jax.model.direct import output_weights
from mcq_jax.model.run import run_layers

# What must be captured, of all layers and positions, in the clean and the source run.
PATH_SITES = (
    Site.EMBED,
    Site.RESID_PRE,
    Site.ATTN_SCALE,
    Site.Z,
    Site.RESID_MID,
    Site.MLP_SCALE,
    Site.MLP_OUT,
    Site.FINAL_RESID,
    Site.FINAL_SCALE,
)
# What running a layer again may show.
_RERUN_SITES = (*HEAD_INPUTS, Site.Z, Site.MLP_OUT)

Activations = Mapping[Site, Array]


# A receiver's recomputed input [row, position, …], and where it counts [row, position].
_Reading = tuple[Array, Bool[Array, "row position"]]
_Change = Float[Array, "row position width"]


class Walk:
    """One pass over the layers: what receivers read, then what they make of it."""

    def __init__(
        self,
        parameters: Parameters,
        clean: Activations,
        source: Activations,
        edges: Mapping[Edge, Indices | None],
        config: ModelConfig,
        freeze: float,
    ):
        self.parameters, self.config, self.freeze = parameters, config, freeze
        self.clean, self.source = clean, source
        self.into = collections.defaultdict(list)
        for edge, positions in edges.items():
            self.into[edge.input].append((edge.sender, positions))
        self.sending = {edge.sender for edge in edges}
        self.readings: dict[Input, _Reading] = {}
        self.changes: dict[Node | None, _Change] = {}

    def through(self, layer: int) -> None:
        """Recomputes what edges change in a layer."""
        here = [to for to in self.into if to.node and to.node.layer == layer]
        heads = [to for to in here if to.site in HEAD_INPUTS]
        for to in heads:
            change, where = self._arriving(to)
            scale = self._at_clean(Site.ATTN_SCALE, layer)
            seen = self._rerun(layer, change, [scale])
            self.readings[to] = seen[to.site], where
        sending = {to.node for to in heads} & self.sending
        if sending:
            readings = {to: self.readings[to] for to in heads}
            z = self._rerun(layer, 0.0, _head_edits(readings, self.config))[Site.Z]
            self.changes |= {n: self._written(n, z) for n in sending if n is not None}
        for to in set(here) - set(heads):
            change, where = self._arriving(to)
            mid = _moved(self.clean[Site.RESID_MID][layer], change)
            edits = [
                patch(Site.RESID_MID, mid[None], layers=(layer,)),
                self._at_clean(Site.MLP_SCALE, layer),
            ]
            out = self._rerun(layer, 0.0, edits)[Site.MLP_OUT]
            self.readings[to] = out, where
            self.changes[to.node] = _minus(out, self.clean[Site.MLP_OUT][layer])

    def edits(self) -> tuple[Edit, ...]:
        """All that was recomputed, as edits of the clean run."""
        edits = [*_head_edits(self.readings, self.config), *_mlp_edits(self.readings)]
        if FINAL in self.into:
            change, _ = self._arriving(FINAL)
            resid = _moved(self.clean[Site.FINAL_RESID], change)
            edits.append(patch(Site.FINAL_RESID, resid))
            scale = self.clean[Site.FINAL_SCALE]
            edits.append(patch(Site.FINAL_SCALE, scale, weight=self.freeze))
        return tuple(edits)

    def _arriving(self, to: Input) -> tuple[_Change, Array]:
        """What all edges into an input add to it, and where."""
        shape = self.clean[Site.FINAL_RESID].shape
        total, anywhere = jnp.zeros(shape), jnp.zeros(shape[:2], bool)
        for sender, positions in self.into[to]:
            where = _mask(positions, shape[:2])
            total = total + jnp.where(where[..., None], self._change(sender), 0)
            anywhere = anywhere | where
        return total, anywhere

    def _change(self, sender: Node | None) -> _Change:
        """What a sender's output differs by; of a receiver it is known by now."""
        if sender not in self.changes:
            self.changes[sender] = self._change_in_source(sender)
        return self.changes[sender]

    def _change_in_source(self, sender: Node | None) -> _Change:
        if sender is None:
            return _minus(self.source[Site.EMBED], self.clean[Site.EMBED])
        if sender.head is not None:
            return self._written(sender, self.source[Site.Z][sender.layer])
        out = self.source[Site.MLP_OUT][sender.layer]
        return _minus(out, self.clean[Site.MLP_OUT][sender.layer])

    def _written(self, node: Node, z: Array) -> _Change:
        """What a head writes into the residual for `z`, less what it wrote."""
        kv_head, group = divmod(node.head or 0, self.config.group)
        here = (..., slice(kv_head, kv_head + 1), slice(group, group + 1), slice(None))
        change = _minus(z[here], self.clean[Site.Z][node.layer][here])
        (group,) = self.parameters.of_layer(node.layer).layers
        attention = jax.tree.map(lambda a: a[0], group["attention"])
        output, _ = output_weights(attention, self.config)
        return head_writes(change, output[here[1:]])[:, :, 0, 0]

    def _at_clean(self, site: Site, layer: int) -> Edit:
        value = self.clean[site][layer][None]
        return patch(site, value, layers=(layer,), weight=self.freeze)

    def _rerun(self, layer: int, change, edits: Sequence[Edit]) -> Activations:
        """Runs one layer on its clean input and a change of it."""
        x = _moved(self.clean[Site.RESID_PRE][layer], change)
        positions = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
        run = run_layers(
            self.parameters.of_layer(layer),
            x,
            positions,
            edits,
            config=self.config,
            capture=tuple(Capture(site=site) for site in _RERUN_SITES),
            first_layer=layer,
        )
        parts = zip(_RERUN_SITES, run.captured, strict=True)
        return {site: part[0] for site, part in parts}


def _head_edits(readings: Mapping[Input, _Reading], config: ModelConfig) -> list[Edit]:
    """The edits that put readings of heads in place, one per site and group member."""
    sorted_out = collections.defaultdict(lambda: collections.defaultdict(list))
    for to, reading in readings.items():
        if to.site in HEAD_INPUTS and to.node is not None:
            kv_head, group = divmod(to.node.head or 0, config.group)
            # Keys and values that heads share need one version for each that reads.
            kind = (to.site, None if to.site is Site.Q else group)
            place = (kv_head, group)
            sorted_out[kind][to.node.layer].append((place, *reading))
    edits = []
    for (site, group), layers in sorted_out.items():
        slots = [_joined(site, readings, config) for readings in layers.values()]
        value, weight, heads = (jnp.stack(a) for a in zip(*slots, strict=True))
        edit = patch(site, value, layers=list(layers), weight=weight)
        edits.append(edit if group is None else read_by(edit, heads[:, None, None]))
    return edits


def _joined(site: Site, readings, config: ModelConfig):
    """One layer's readings of a site: value, weight, and which heads they are of."""
    value, weight = jnp.float32(0), jnp.float32(0)
    heads = np.zeros((config.kv_heads, config.group), bool)
    for place, seen, where in readings:
        heads[place] = True
        one = np.zeros_like(heads)
        one[place] = True
        mine = np.asarray(one if site is Site.Q else one.any(axis=1))
        mine = mine[None, None, ..., None]
        here = where.reshape(*where.shape, *(1,) * (mine.ndim - 2)) & mine
        value = value + jnp.where(mine, seen, 0).astype(jnp.float32)
        weight = weight + here.astype(jnp.float32)
    return value, weight, jnp.asarray(heads)


def _mlp_edits(readings: Mapping[Input, _Reading]) -> list[Edit]:
    """The edit that puts readings of feed-forward blocks in place, as their outputs."""
    here = {to.node: v for to, v in readings.items() if to.site is Site.MLP_IN}
    if not here:
        return []
    value, where = (jnp.stack(a) for a in zip(*here.values(), strict=True))
    layers = [node.layer for node in here if node is not None]
    return [patch(Site.MLP_OUT, value, layers=layers, weight=where[..., None])]


def _mask(positions, shape: tuple[int, ...]) -> Bool[Array, "row position"]:
    if positions is None:
        return jnp.ones(shape, bool)
    positions = jnp.asarray(positions, jnp.int32)
    positions = positions.reshape((1,) * (2 - positions.ndim) + positions.shape)
    columns = jnp.arange(shape[1])[None, None]
    mask = (positions[:, :, None] == columns).any(1)
    return jnp.broadcast_to(mask, shape)


def _moved(clean: Array, change: Array | float) -> Array:
    return (clean.astype(jnp.float32) + change).astype(clean.dtype)


def _minus(one: Array, other: Array) -> Array:
    return one.astype(jnp.float32) - other.astype(jnp.float32)
