"""Path patching: change what one node reads of another, and nothing else.

An edge leads from a sender (a head, a feed-forward block, the embedding) to one input
of a receiver: a head's query, the keys or values as that head reads them, a
feed-forward block's input, or the final residual. Along each edge the receiver's clean
input gets what the sender's output changed by; all else that it reads stays clean. What
comes of it is a tuple of ordinary edits of the clean run (Wang et al. 2022;
Goldowsky-Dill et al. 2023).
"""

import collections
import types
from collections.abc import Mapping, Sequence

from mcq_jax.interventions import Edge, Edit, Node, Site, all_nodes
from mcq_jax.interventions.circuits import (
    FINAL,
    HEAD_INPUTS,
    MLP_INPUTS,
    Input,
    leads_forward,
)
from mcq_jax.interventions.selection import Indices
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.paths.walk import PATH_SITES, Activations, Walk


def patch_paths(
    parameters: Parameters,
    clean: Activations,
    source: Activations,
    edges: Sequence[Edge],
    *,
    config: ModelConfig,
    positions: Mapping[Edge, Indices] = types.MappingProxyType({}),
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
        edges: in any order; those of a `Circuit`, say.
        positions: where an edge counts, `[selected]` or `[row, selected]`: where its
            sender writes, and its receiver reads its input. Others count everywhere.
        freeze_norms: whether receivers keep the norm scales of their clean inputs.
    """
    _check(clean, source, edges, positions, config)
    where = {edge: positions.get(edge) for edge in edges}
    walk = Walk(parameters, clean, source, where, config, float(freeze_norms))
    for layer in range(config.layers):
        walk.through(layer)
    return walk.edits()


def paths_from(
    sender: Node | None,
    config: ModelConfig,
    *,
    into: Sequence[Site] = (*HEAD_INPUTS, *MLP_INPUTS, FINAL.site),
) -> tuple[Edge, ...]:
    """Returns the edges of all paths from a sender, of all positions.

    Patched together they amount to patching the sender. Without the edge from it to
    the final residual they carry its indirect effect, that edge alone the direct one.
    """
    nodes = all_nodes(config.layers, config.heads)
    inputs = [
        Input(node, site)
        for node in nodes
        for site in (MLP_INPUTS if node.head is None else HEAD_INPUTS)
    ]
    inputs = [to for to in (*inputs, FINAL) if to.site in into]
    first = -1 if sender is None else nodes.index(sender)
    edges = [
        Edge(one, *to)
        for one in (sender, *nodes[first + 1 :])
        for to in inputs
        if leads_forward(one, to.node)
    ]
    reached = {edge.receiver for edge in edges if edge.sender == sender}
    return tuple(e for e in edges if e.sender == sender or e.sender in reached)


def _check(
    clean: Activations,
    source: Activations,
    edges: Sequence[Edge],
    positions: Mapping[Edge, Indices],
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
        for node in (edge.sender, edge.receiver):
            if node not in known:
                raise ValueError(
                    f"an edge names {node}; the model has {config.layers} layers of "
                    f"{config.heads} heads."
                )
    edge, count = collections.Counter(edges).most_common(1)[0]
    if count > 1:
        raise ValueError(f"the edge {edge} is given {count} times; give it once.")
    for edge in positions:
        if edge not in edges:
            raise ValueError(
                f"positions are given for {edge}, which is not among the edges."
            )
