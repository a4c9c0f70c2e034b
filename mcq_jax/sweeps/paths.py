"""Path patching: change what one node reads of another, and nothing else.

An edge leads from a sender (a head, a feed-forward block, the embedding) to one input
of a receiver: a head's query, the keys or values as that head reads them, a
feed-forward block's input, or the final residual. Along each edge the receiver's clean
input gets what the sender's output changed by; all else that it reads stays clean. What
comes of it is a tuple of ordinary edits of the clean run (Wang et al. 2022;
Goldowsky-Dill et al. 2023).
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from mcq_jax.interventions import Capture, Edit, Node, Site, all_nodes, patch
from mcq_jax.model import ModelConfig, Parameters, read_by
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.parameters import Group
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
_HEAD_INPUTS = (Site.Q, Site.K, Site.V)
# What running a layer again may show.
_RERUN_SITES = (*_HEAD_INPUTS, Site.Z, Site.MLP_OUT)

Activations = Mapping[Site, Array]


@dataclasses.dataclass(frozen=True)
class Receiver:
    """One input of a node: its `site` is Q, K or V of a head, MLP_IN or FINAL_RESID."""

    site: Site
    # None for the final residual.
    node: Node | None = None

    def __post_init__(self):
        if self.site is Site.FINAL_RESID:
            fits = self.node is None
        elif self.site is Site.MLP_IN:
            fits = self.node is not None and self.node.head is None
        else:
            is_head = self.node is not None and self.node.head is not None
            fits = is_head and self.site in _HEAD_INPUTS
        if not fits:
            raise ValueError(
                f"no receiver has {self.site} of {self.node}; give Q, K or V of a "
                "head, MLP_IN of a feed-forward block, or FINAL_RESID of no node."
            )

    def __str__(self) -> str:
        return f"{self.site} of {self.node}" if self.node else str(self.site)


@dataclasses.dataclass(frozen=True, eq=False)
class Edge:
    """What a receiver reads of a sender, at all positions or some."""

    # None for the embedding.
    sender: Node | None
    receiver: Receiver
    # Where the sender writes, which is where the receiver reads its input.
    positions: ArrayLike | Sequence[Sequence[int]] | None = None  # [row, selected]

    def __post_init__(self):
        if not _leads_forward(self.sender, self.receiver):
            raise ValueError(
                f"an edge from {self.sender} to {self.receiver}, which is not behind "
                "it; let edges lead forward."
            )


def _leads_forward(sender: Node | None, receiver: Receiver) -> bool:
    node = receiver.node
    if sender is None or node is None or sender.layer < node.layer:
        return True
    is_mlp_of_head = node.head is None and sender.head is not None
    return sender.layer == node.layer and is_mlp_of_head


def patch_paths(
    parameters: Parameters,
    clean: Activations,
    source: Activations,
    edges: Sequence[Edge],
    *,
    config: ModelConfig,
    freeze_norms: bool = False,
) -> tuple[Edit, ...]:
    """Returns the edits that make the clean run one in which only `edges` change.

    A sender that receives nothing brings its output in the source run. One that is a
    receiver itself brings what it makes of its own patched inputs, so that edges in a
    row are a path. Behind the receivers everything is recomputed as usual, unless
    edges lead into the final residual: then that is clean but for them, and no other
    way to the logits remains.

    Args:
        clean: activations of `PATH_SITES` in the run to be patched.
        source: the same in the run that the senders' outputs are taken from.
        edges: each of a sender and a receiver behind it, in any order.
        freeze_norms: whether receivers keep the norm scales of their clean inputs.
    """
    _check(clean, source, edges, config)
    walk = _Walk(parameters, clean, source, edges, config, float(freeze_norms))
    for layer in range(config.layers):
        walk.through(layer)
    return walk.edits()


def paths_from(
    sender: Node | None,
    config: ModelConfig,
    *,
    into: Sequence[Site] = (*_HEAD_INPUTS, Site.MLP_IN, Site.FINAL_RESID),
) -> tuple[Edge, ...]:
    """Returns the edges of all paths from a sender, of all positions.

    Patched together they amount to patching the sender. Without the edge from it to
    the final residual they carry its indirect effect, that edge alone the direct one.
    """
    nodes = all_nodes(config.layers, config.heads)
    first = -1 if sender is None else nodes.index(sender)
    behind = nodes[first + 1 :]
    receivers = [
        Receiver(site, node)
        for node in behind
        for site in ((Site.MLP_IN,) if node.head is None else _HEAD_INPUTS)
        if site in into
    ]
    receivers += [Receiver(Site.FINAL_RESID)] * (Site.FINAL_RESID in into)
    edges = []
    for one in (sender, *behind):
        edges += [Edge(one, to) for to in receivers if _leads_forward(one, to)]
    reached = {edge.receiver.node for edge in edges if edge.sender == sender}
    return tuple(e for e in edges if e.sender == sender or e.sender in reached)


# A receiver's recomputed input [row, position, …], and where it counts [row, position].
_Reading = tuple[Array, Bool[Array, "row position"]]
_Change = Float[Array, "row position width"]


class _Walk:
    """One pass over the layers: what receivers read, then what they make of it."""

    def __init__(
        self,
        parameters: Parameters,
        clean: Activations,
        source: Activations,
        edges: Sequence[Edge],
        config: ModelConfig,
        freeze: float,
    ):
        self.parameters, self.config, self.freeze = parameters, config, freeze
        self.clean, self.source = clean, source
        self.into = collections.defaultdict(list)
        for edge in edges:
            self.into[edge.receiver].append(edge)
        self.receiving = {receiver.node for receiver in self.into} - {None}
        self.sending = {edge.sender for edge in edges}
        self.readings: dict[Receiver, _Reading] = {}
        self.changes: dict[Node | None, _Change] = {}

    def through(self, layer: int) -> None:
        """Recomputes what edges change in a layer."""
        here = [r for r in self.into if r.node is not None and r.node.layer == layer]
        heads = [receiver for receiver in here if receiver.site in _HEAD_INPUTS]
        for receiver in heads:
            change, where = self._arriving(receiver)
            scale = self._at_clean(Site.ATTN_SCALE, layer)
            seen = self._rerun(layer, change, [scale])
            self.readings[receiver] = seen[receiver.site], where
        sending = {receiver.node for receiver in heads} & self.sending
        if sending:
            readings = {receiver: self.readings[receiver] for receiver in heads}
            z = self._rerun(layer, 0.0, _head_edits(readings, self.config))[Site.Z]
            self.changes |= {n: self._written(n, z) for n in sending if n is not None}
        for receiver in set(here) - set(heads):
            change, where = self._arriving(receiver)
            mid = _moved(self.clean[Site.RESID_MID][layer], change)
            edits = [
                patch(Site.RESID_MID, mid[None], layers=(layer,)),
                self._at_clean(Site.MLP_SCALE, layer),
            ]
            out = self._rerun(layer, 0.0, edits)[Site.MLP_OUT]
            self.readings[receiver] = out, where
            self.changes[receiver.node] = _minus(out, self.clean[Site.MLP_OUT][layer])

    def edits(self) -> tuple[Edit, ...]:
        """All that was recomputed, as edits of the clean run."""
        edits = [*_head_edits(self.readings, self.config), *_mlp_edits(self.readings)]
        final = Receiver(Site.FINAL_RESID)
        if final in self.into:
            change, _ = self._arriving(final)
            resid = _moved(self.clean[Site.FINAL_RESID], change)
            edits.append(patch(Site.FINAL_RESID, resid))
            scale = self.clean[Site.FINAL_SCALE]
            edits.append(patch(Site.FINAL_SCALE, scale, weight=self.freeze))
        return tuple(edits)

    def _arriving(self, receiver: Receiver) -> tuple[_Change, Array]:
        """What all edges into a receiver add to its input, and where."""
        shape = self.clean[Site.FINAL_RESID].shape
        total, anywhere = jnp.zeros(shape), jnp.zeros(shape[:2], bool)
        for edge in self.into[receiver]:
            where = _mask(edge.positions, shape[:2])
            total = total + jnp.where(where[..., None], self._change(edge.sender), 0)
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
        clean = self.clean[Site.Z][node.layer]
        change = _minus(z[:, :, kv_head, group], clean[:, :, kv_head, group])
        output = self._layer(node.layer)["attention"]["output"][0, kv_head, group]
        return contract("rph,hw->rpw", change, output.astype(jnp.float32))

    def _at_clean(self, site: Site, layer: int) -> Edit:
        value = self.clean[site][layer][None]
        return patch(site, value, layers=(layer,), weight=self.freeze)

    def _rerun(self, layer: int, change, edits: Sequence[Edit]) -> Activations:
        """Runs one layer on its clean input and a change of it."""
        x = _moved(self.clean[Site.RESID_PRE][layer], change)
        positions = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
        only = self.parameters._replace(layers=(self._layer(layer),))
        run = run_layers(
            only,
            x,
            positions,
            edits,
            config=self.config,
            capture=tuple(Capture(site=site) for site in _RERUN_SITES),
            first_layer=layer,
        )
        parts = zip(_RERUN_SITES, run.captured, strict=True)
        return {site: part[0] for site, part in parts}

    def _layer(self, layer: int) -> Group:
        """One layer of a segment, as a segment of its own."""
        for group in self.parameters.layers:
            size = jax.tree.leaves(group)[0].shape[0]
            if layer < size:
                return jax.tree.map(lambda a: a[layer : layer + 1], group)  # noqa: B023
            layer -= size
        raise AssertionError("layers are checked before")


def _head_edits(
    readings: Mapping[Receiver, _Reading], config: ModelConfig
) -> list[Edit]:
    """The edits that put readings of heads in place, one per site and group member."""
    sorted_out = collections.defaultdict(lambda: collections.defaultdict(list))
    for receiver, reading in readings.items():
        if receiver.site in _HEAD_INPUTS and receiver.node is not None:
            kv_head, group = divmod(receiver.node.head or 0, config.group)
            # Keys and values that heads share need one version for each that reads.
            kind = (receiver.site, None if receiver.site is Site.Q else group)
            place = (kv_head, group)
            sorted_out[kind][receiver.node.layer].append((place, *reading))
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


def _mlp_edits(readings: Mapping[Receiver, _Reading]) -> list[Edit]:
    """The edit that puts readings of feed-forward blocks in place, as their outputs."""
    here = {r.node: v for r, v in readings.items() if r.site is Site.MLP_IN}
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


def _check(
    clean: Activations,
    source: Activations,
    edges: Sequence[Edge],
    config: ModelConfig,
) -> None:
    for name in ("parallel", "post_norm"):
        if getattr(config, name):
            raise ValueError(
                f"path patching in a model with {name}=True; it takes for granted that "
                "attention comes before the feed-forward block, and that what heads "
                "write is added as it is."
            )
    for site in PATH_SITES:
        if site not in clean or site not in source:
            raise ValueError(
                f"{site} is missing from the clean or the source run; capture "
                "PATH_SITES in both."
            )
        if clean[site].shape != source[site].shape:
            raise ValueError(
                f"{site} is {clean[site].shape} in the clean run and "
                f"{source[site].shape} in the source run; align the prompts."
            )
    if not edges:
        raise ValueError("no edges; give at least one.")
    known = {None, *all_nodes(config.layers, config.heads)}
    for edge in edges:
        for node in (edge.sender, edge.receiver.node):
            if node not in known:
                raise ValueError(
                    f"an edge names {node}; the model has {config.layers} layers of "
                    f"{config.heads} heads."
                )
    pairs = collections.Counter((edge.sender, edge.receiver) for edge in edges)
    (sender, receiver), count = pairs.most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{count} edges from {sender} to {receiver}; give one, with all its "
            "positions."
        )
