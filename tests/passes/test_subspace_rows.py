"""Rows that keep subspaces of several heads: as single edits of a whole forward."""

from collections.abc import Sequence

import numpy as np
import pytest

from mcq_jax import metrics, passes
from mcq_jax.interventions import Node, Site
from mcq_jax.model import forward
from mcq_jax.passes import Part
from mcq_jax.prompts import batch_of
from tests import tiny
from tests.passes.test_head_views import CLOSE, asked

CASES = (
    "grouped heads, biases, partial rotation",
    "as Gemma 3: normed heads, own rotation in windows",
)


def _basis(config, rank: int, seed: int) -> metrics.Basis:
    width = config.head_width
    vectors = metrics.random_directions(width, width, seed=seed)[:rank]
    center = np.random.default_rng(seed).normal(size=width)
    return metrics.Basis(
        name="drawn", vectors=vectors, center=center, weights=np.ones(rank)
    )


def _kept(config) -> Sequence[passes.Kept]:
    """Two heads of one key head, one of another layer, other ranks; and nothing."""
    first, second, later = Node(0, 0), Node(0, 1), Node(1, 1)
    return [
        {(head, part): _basis(config, rank + i, 10 * i + j)
         for i, head in enumerate((first, second, later))
         for j, part in enumerate(Part)}
        for rank in (0, 1)
    ] + [{}, {(second, Part.KEYS): _basis(config, 2, 5)}]  # fmt: skip


@pytest.mark.few
@pytest.mark.parametrize("case", CASES)
def test_rows_are_those_of_a_forward_with_an_edit_for_each_head(case: str):
    config = tiny.CASES[case]
    parameters, kept = tiny.random_parameters(config), _kept(config)
    prompts = asked(config)
    of, which = (index.ravel() for index in np.indices((len(prompts), len(kept))))
    batch = batch_of([prompts[i] for i in of])
    edits = passes.subspace_edits(kept, which, batch, config=config)
    base = batch_of(prompts)
    start = passes.prefill(parameters, base.ids, base.lengths, config=config)
    resumed = passes.resume_edited(parameters, start, edits, of=of, config=config)
    last = np.arange(len(prompts)), base.lengths - 1
    moved = []
    for number, one in enumerate(kept):
        single = [
            passes.subspace_edit(part, basis, head, base, config=config)
            for (head, part), basis in one.items()
        ]
        whole = forward(
            parameters, base.ids, single, config=config, capture=[Site.RESID_POST]
        ).activations[Site.RESID_POST]
        expected = np.asarray(whole)[-1][last]
        found = np.asarray(resumed.final)[which == number]
        np.testing.assert_allclose(found, expected, rtol=0, atol=5 * CLOSE)
        moved.append(np.abs(expected - np.asarray(start.final)).max())
    assert np.array(moved)[[0, 1, 3]].min() > 0.01
    assert moved[2] < 1e-5  # nothing named, nothing changed


def test_rows_without_a_prompt_each_and_other_models_bases_are_refused():
    config = tiny.CASES[CASES[0]]
    batch = batch_of(asked(config))
    with pytest.raises(ValueError, match="one prompt for each row"):
        passes.subspace_edits([{}], np.zeros(2, int), batch, config=config)
    wide = metrics.Basis(
        name="wide", vectors=np.eye(5)[:1], center=np.zeros(5), weights=np.ones(1)
    )
    kept: list[passes.Kept] = [{(Node(0, 0), Part.QUERY): wide}]
    with pytest.raises(ValueError, match="wide has vectors of 5 dimensions"):
        passes.subspace_edits(kept, np.zeros(3, int), batch, config=config)
