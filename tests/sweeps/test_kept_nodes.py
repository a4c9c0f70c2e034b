"""Nodes that keep what the patched prompt itself writes, whatever reaches them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from mcq_jax.interventions import Capture, Node, Site, patch
from mcq_jax.model import forward
from mcq_jax.passes import NodeSets
from mcq_jax.results import fingerprint
from mcq_jax.sweeps import (
    Ablation,
    Direction,
    Sources,
    node_sets,
    patched_logits,
    sweep,
)
from tests import tiny
from tests.sweeps.small import CONFIG, PROMPTS

SOURCES = Sources(kinds=("other",), index=np.array([[2], [3], [0], [1]]))
# Patched and kept, in any order of layers; the last row keeps nothing.
PATCHED = [[Node(0), Node(0, 2)], [Node(1, 3), Node(2)], [Node(0, 0)], [Node(1, 1)]]
KEPT = [[Node(1, 3), Node(2)], [Node(0), Node(0, 2)], [Node(0), Node(2, 1)], []]
# Of logits of the order of 10.
ROUNDING = 1e-4


def _plan() -> NodeSets:
    return node_sets(PATCHED, CONFIG, kept=KEPT)


@functools.cache
def _parameters():
    return tiny.random_parameters(CONFIG)


def _logits(plan: NodeSets, sources: Sources | Ablation = SOURCES, **options):
    found = sweep(
        _parameters(), PROMPTS, plan, sources, config=CONFIG,
        metrics={"logits": patched_logits}, full_vocabulary=False, **options,
    )  # fmt: skip
    return found.values["logits"][:, 0]  # [prompt, row, choice]


@pytest.mark.few
@pytest.mark.parametrize("direction", Direction)
def test_kept_nodes_write_what_they_write_in_the_patched_prompts_own_run(direction):
    found = _logits(_plan(), direction=direction)
    full = _logits(_plan(), direction=direction, by_full_passes=True)
    np.testing.assert_allclose(found, full, rtol=0, atol=ROUNDING)
    free = _logits(node_sets(PATCHED, CONFIG), direction=direction)
    for prompt, (source,) in enumerate(SOURCES.index):
        base, other = prompt, int(source)
        if direction is Direction.DENOISE:
            base, other = other, base
        for row in range(len(PATCHED)):
            expected = _by_hand(base, other, row, answers=prompt)
            np.testing.assert_allclose(
                found[prompt, row], expected, rtol=0, atol=ROUNDING
            )
    # Keeping matters in the first row, whose kept nodes come later, and not in the
    # second, whose kept nodes come before all that is patched.
    moved = np.abs(found - free).max(axis=(0, 2))
    assert moved[0] > 100 * ROUNDING and moved[2] > 100 * ROUNDING
    assert moved[1] < ROUNDING and moved[3] < ROUNDING


def _by_hand(base: int, other: int, row: int, *, answers: int) -> np.ndarray:
    """One full pass with an edit for each node."""
    edits = [
        _edit(node, _written(prompt), base)
        for nodes, prompt in ((PATCHED[row], other), (KEPT[row], base))
        for node in nodes
    ]
    ids = jnp.asarray(PROMPTS[base].ids)[None]
    logits = forward(_parameters(), ids, edits, config=CONFIG).logits[0, -1]
    return np.asarray(logits)[PROMPTS[answers].answer_ids]


@functools.cache
def _written(prompt: int) -> dict[Site, Array]:
    """What every node writes at the end, `[layer, 1, 1, …]`."""
    ids = jnp.asarray(PROMPTS[prompt].ids)[None]
    wishes = [
        Capture(site=site, positions=jnp.array([[ids.shape[1] - 1]]))
        for site in (Site.Z, Site.MLP_OUT)
    ]
    return forward(_parameters(), ids, config=CONFIG, capture=wishes).activations


def _edit(node: Node, written: dict[Site, Array], base: int):
    heads = None if node.head is None else [[node.head]]
    site = Site.MLP_OUT if node.head is None else Site.Z
    value, last = written[site][node.layer][None], len(PROMPTS[base].ids) - 1
    return patch(site, value, heads=heads, layers=[node.layer], positions=[[last]])


def test_with_all_others_kept_a_block_moves_only_what_it_writes_itself():
    every = np.ones((1, CONFIG.layers, CONFIG.nodes), bool)
    plan = node_sets([[Node(0)]], CONFIG)
    found = _logits(dataclasses.replace(plan, kept=every & ~plan.masks))
    for prompt, (source,) in enumerate(SOURCES.index):
        ids = jnp.asarray(PROMPTS[prompt].ids)[None]
        last = jnp.array([[ids.shape[1] - 1]])
        run = functools.partial(forward, _parameters(), ids, config=CONFIG)
        seen = run(capture=[Capture(site=Site.FINAL_RESID, positions=last)])
        wrote, other = (_written(p)[Site.MLP_OUT][0] for p in (prompt, int(source)))
        after = seen.activations[Site.FINAL_RESID] + other - wrote
        there = run([patch(Site.FINAL_RESID, after[None], positions=last)])
        expected = np.asarray(there.logits)[0, -1, PROMPTS[prompt].answer_ids]
        np.testing.assert_allclose(found[prompt, 0], expected, rtol=0, atol=ROUNDING)


def test_rows_that_keep_nothing_are_known_as_they_were_before():
    bare = NodeSets(node_sets(PATCHED, CONFIG).masks)
    plan = dataclasses.replace(bare, kept=_plan().kept)
    rows = [fingerprint(each.take(np.array([3]))) for each in (plan, bare)]
    assert rows[0] == rows[1] and "kept" not in rows[0]
    first = [fingerprint(each.take(np.array([0]))) for each in (plan, bare)]
    assert first[0] != first[1]


def test_a_node_is_patched_or_kept_not_both():
    plan = node_sets(PATCHED, CONFIG)
    with pytest.raises(ValueError, match="4 sets to patch and 1 to keep"):
        node_sets(PATCHED, CONFIG, kept=[[]])
    with pytest.raises(ValueError, match=r"rows \[0, 1, 2, 3\] patch a node and keep"):
        NodeSets(plan.masks, kept=plan.masks)
    with pytest.raises(ValueError, match="give both"):
        NodeSets(plan.masks, kept=plan.masks[:2])
