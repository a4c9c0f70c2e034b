"""Random plans whose rows change several places together, or directions of some.

As in `sweep_plans`: each returns our plan, and what its rows do.
"""

import dataclasses

import numpy as np

from mcq_jax import passes, sweeps
from mcq_jax.interventions import Node, Site
from mcq_jax.model import sites_of
from tests.fuzz.drawing import Random, pick
from tests.fuzz.sweep_plans import Row, any_site, node_piece, piece_of, units_of

ROWS = 4


def _unit_sets(config, lengths, shortest, shape: Random, data: Random):
    """Units of several sites, in any layers."""
    sites = [any_site(config, shape) for _ in range(pick(shape, 1, 2, 3))]
    sites = tuple(dict.fromkeys(sites))
    offsets, read_at = _places(lengths, shortest, shape, data)
    masks = {
        site: data.random(
            (ROWS, config.layers, units_of(config, site) if site.unit else 1)
        )
        < pick(shape, 0.2, 0.5)
        for site in sites
    }
    for row in range(ROWS):  # none is empty
        site = sites[data.integers(len(sites))]
        masks[site][row, data.integers(config.layers), 0] = True
    plan = passes.UnitSets(
        masks=masks, offsets=offsets, source_offsets=_by_source(read_at, offsets)
    )
    rows = []
    for row in range(ROWS):
        pieces = []
        for site, mask in masks.items():
            for layer in np.flatnonzero(mask[row].any(axis=1)):
                units = np.flatnonzero(mask[row, layer]) if site.unit else None
                piece = piece_of(site, int(layer), offsets[:, row], units)
                pieces.append(dataclasses.replace(piece, read_at=read_at[:, row]))
        rows.append(Row(tuple(pieces)))
    return plan, rows


def _kept(config, lengths, shortest, shape: Random, data: Random):
    """Sets of nodes that are patched while others write what they write unpatched."""
    heads = (*range(config.heads), None)
    everything = [Node(i, head) for i in range(config.layers) for head in heads]
    sets, kept = [], []
    for _ in range(ROWS):
        order = data.permutation(len(everything))
        some, more = data.integers(1, 3), data.integers(0, 3)
        sets.append([everything[i] for i in order[:some]])
        kept.append([everything[i] for i in order[some : some + more]])
    plan = sweeps.node_sets(sets, config, kept=kept)
    rows = [
        Row(
            (
                *map(node_piece, patched),
                *(dataclasses.replace(node_piece(node), is_own=True) for node in own),
            )
        )
        for patched, own in zip(sets, kept, strict=True)
    ]
    return plan, rows


def _subspaces(config, lengths, shortest, shape: Random, data: Random):
    """Directions of a site in some layers, by gates, and what lies outside of them."""
    present = [
        s
        for s in sites_of(config)
        if s.per_layer
        and not s.key_axes
        and s is not Site.ROT_Q
        and s.axes[-1] != "one"
    ]
    site = pick(shape, *present)
    is_headed = "kv_head" in site.axes
    units = units_of(config, site) if is_headed and pick(shape, True, False) else 1
    last = getattr(config, site.axes[-1] + ("s" if site.axes[-1] == "neuron" else ""))
    reads = site in (Site.V, Site.ROT_K) and pick(shape, True, False)
    offsets, read_at = _places(lengths, shortest, shape, data, most=1 if reads else 2)
    count = min(last, pick(shape, 1, 2, 3))
    drawn = data.normal(size=(config.layers, units, 1, last, count))
    basis = np.moveaxis(np.linalg.qr(drawn)[0], -1, -2).astype(np.float32)
    gates = data.choice([0.0, 0.5, 1.0], size=(ROWS, config.layers, units, count))
    outside = data.choice([0.0, 1.0], size=(ROWS, config.layers, units), p=[0.7, 0.3])
    gates *= data.random((ROWS, config.layers, 1, 1)) < 0.5
    outside *= data.random((ROWS, config.layers, 1)) < 0.5
    gates[np.arange(ROWS), data.integers(config.layers, size=ROWS), 0, 0] = 1.0
    readers = None
    if reads:
        readers = data.random((ROWS, config.kv_heads, config.group)) < 0.5
    plan = passes.Subspaces(
        site=site, basis=basis, gates=gates.astype(np.float32), readers=readers,
        outside=outside.astype(np.float32), offsets=offsets,
        source_offsets=_by_source(read_at, offsets),
    )  # fmt: skip
    number = units_of(config, site) if is_headed else 1
    rows = []
    for row in range(ROWS):
        pieces = []
        for layer in range(config.layers):
            through = [
                _through(
                    basis[layer, u, 0], gates[row, layer, u], outside[row, layer, u]
                )
                for u in range(units)
            ]
            if not any(matrix.any() for matrix in through):
                continue
            every = range(number) if is_headed else None
            pieces.append(
                dataclasses.replace(
                    piece_of(site, layer, offsets[:, row], every),
                    read_at=read_at[:, row],
                    through=np.stack([through[u % units] for u in range(number)]),
                    readers=None if readers is None else readers[row],
                    is_read_last=True,
                )
            )
        rows.append(Row(tuple(pieces)))
    return plan, rows


def _through(basis, gates, outside: float) -> np.ndarray:
    """What of the way from x to the source is gone, as a matrix `[last, last]`."""
    basis = basis.astype(float)
    beyond = np.eye(basis.shape[-1]) - basis.T @ basis
    return basis.T @ np.diag(gates) @ basis + outside * beyond


def _places(lengths, shortest, shape: Random, data: Random, most: int = 2):
    """Offsets `[#prompt, row, selected]`, and where sources are read."""
    selected, by_prompt = pick(shape, 1, most), pick(shape, 1, len(lengths))
    offsets = np.stack(
        [
            np.stack([-1 - data.permutation(shortest)[:selected] for _ in range(ROWS)])
            for _ in range(by_prompt)
        ]
    )
    read_at = offsets
    if by_prompt == 1 and pick(shape, True, False):
        read_at = -1 - data.integers(shortest, size=offsets.shape)
    return offsets, read_at


def _by_source(read_at, offsets):
    return None if read_at is offsets else read_at[None]


JOINT_PLANS = {"unit sets": _unit_sets, "kept": _kept, "subspaces": _subspaces}
