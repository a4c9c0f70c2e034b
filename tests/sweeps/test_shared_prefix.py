"""Prompts behind a prefix that was run once are what they are when run whole."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from mcq_jax.costs.machine import CPU
from mcq_jax.interventions import Site
from mcq_jax.model import initialise
from mcq_jax.passes import prefill, prefix_tree, run_prefix, shared_prefix
from mcq_jax.prompts import batch_of
from mcq_jax.sweeps import (
    Sources,
    every_node,
    every_position,
    every_unit,
    sweep,
)
from mcq_jax.sweeps.bank import fill_bank
from tests import tiny
from tests.sweeps.small import LENGTHS, PROMPTS

ROTARY = dataclasses.replace(
    tiny.CASES["grouped heads, biases, partial rotation"], context=128
)
KINDS = {
    "rotary positions": ROTARY,
    "relative positions": dataclasses.replace(
        ROTARY, rotary_width=0, relative_positions=True
    ),
}
SHARED = 70
# Patched from one prompt of the same length.
SOURCES = Sources(kinds=("other",), index=np.array([[2], [3], [0], [1]]))


def _prompts(config):
    shots = np.random.default_rng(9).integers(config.vocabulary, size=SHARED)
    return [
        dataclasses.replace(
            prompt, ids=np.concatenate([shots, prompt.ids]).astype(np.int32)
        )
        for prompt in PROMPTS
    ]


@pytest.mark.few
@pytest.mark.parametrize(
    ("name", "site"),
    [
        pytest.param(name, site, marks=[pytest.mark.exhaustive] * ((k + s) % 2))
        for s, site in enumerate([None, Site.RESID_PRE, Site.V, Site.PATTERN])
        for k, name in enumerate(KINDS)
    ],
)
def test_a_sweep_behind_a_prefix_equals_full_passes_over_the_whole(name, site):
    config = KINDS[name]
    parameters = initialise(config, jax.random.key(3))
    plans = {
        None: every_node(config),
        Site.PATTERN: every_unit(Site.PATTERN, config),
    }
    plan = plans.get(site) or every_position(site, config, tokens=3)
    asked = _prompts(config)
    prefix, behind = shared_prefix.without_common_prefix(
        parameters, asked, config=config, suffix=plan.suffix
    )
    assert prefix is not None and prefix.length == SHARED
    assert [len(prompt.ids) for prompt in behind] == list(LENGTHS)
    fast, slow = (
        sweep(
            parameters, asked, plan, SOURCES, config=config, by_full_passes=by_full
        ).values["net"]
        for by_full in (False, True)
    )
    largest = np.abs(slow).max()
    tolerance = 1e-5 * max(1, largest)
    assert largest > 30 * tolerance
    np.testing.assert_allclose(fast, slow, atol=tolerance)


@pytest.mark.few
@pytest.mark.parametrize("site", [None, Site.PATTERN])
def test_a_sweep_of_questions_that_begin_alike_equals_full_passes(site, monkeypatch):
    config = KINDS["rotary positions"]
    parameters = initialise(config, jax.random.key(3))
    plan = every_unit(site, config) if site else every_node(config)
    stems = np.random.default_rng(8).integers(config.vocabulary, size=(2, 20))
    asked = [
        dataclasses.replace(
            p, ids=np.concatenate([stems[i // 2], p.ids]).astype("int32")
        )
        for i, p in enumerate(PROMPTS)
    ]
    run = functools.partial(sweep, parameters, asked, plan, SOURCES, config=config)
    slow = run(by_full_passes=True).values["net"]
    free = dataclasses.replace(CPU, program=0.0, reading=0)
    monkeypatch.setattr(prefix_tree, "machine_at_hand", lambda: free)
    whole = batch_of(asked)
    levels = prefix_tree.prefix_tree(whole.ids, whole.lengths, config, own=plan.suffix)
    assert [len(level.tokens) for level in levels] == [2, 4]
    np.testing.assert_allclose(
        run().values["net"], slow, atol=1e-5 * max(1, np.abs(slow).max())
    )


@pytest.mark.few
@pytest.mark.parametrize("site", [Site.RESID_PRE, Site.PATTERN])
def test_a_bank_of_whole_prompts_serves_patches_behind_a_prefix(site):
    config = KINDS["rotary positions"]
    parameters = initialise(config, jax.random.key(3))
    plan = every_position(site, config, tokens=3)
    if site is Site.PATTERN:
        plan = every_unit(site, config)
    asked = _prompts(config)
    bank = fill_bank(parameters, asked, plan, config, 4)
    run = functools.partial(sweep, parameters, asked, plan, SOURCES, config=config)
    expected = run().values["net"]
    assert np.abs(expected).max() > 3e-4
    np.testing.assert_allclose(run(bank=bank).values["net"], expected, atol=1e-6)


def test_a_bank_of_another_plan_or_of_other_prompts_is_refused():
    config = KINDS["rotary positions"]
    parameters = initialise(config, jax.random.key(3))
    plan = every_position(Site.RESID_PRE, config, tokens=3)
    asked = _prompts(config)
    bank = fill_bank(parameters, asked, plan, config, 4)
    run = functools.partial(sweep, parameters, bank=bank, config=config)
    with pytest.raises(
        ValueError, match="takes z of sources, and the bank holds resid"
    ):
        run(asked, every_unit(Site.Z, config), SOURCES)
    fewer = every_position(Site.RESID_PRE, config, tokens=2)
    with pytest.raises(ValueError, match="last 3 tokens; the plan takes 2 tokens of 4"):
        run(asked, fewer, SOURCES)
    with pytest.raises(ValueError, match="of 4 prompts .*of 5 prompts"):
        run([*asked, asked[0]], plan, SOURCES)


def test_keys_of_a_prefix_are_held_once_for_all_prompts():
    config = KINDS["relative positions"]
    parameters = initialise(config, jax.random.key(3))
    prefix = run_prefix(parameters, np.arange(SHARED) % 7, config=config)
    ids = np.stack([np.arange(8) % 5] * 6)
    found = prefill(parameters, ids, np.full(6, 8), config=config, prefix=prefix)
    own = sum(block.keys.size for block in found.blocks)
    assert own == 6 * 8 * config.layers * config.kv_heads * config.head_width
    assert sum(block.keys.size for block in prefix.blocks) == own * SHARED // (6 * 8)


def test_a_short_common_beginning_is_left_to_the_prompts():
    config = KINDS["relative positions"]
    parameters = initialise(config, jax.random.key(3))
    few = [
        dataclasses.replace(p, ids=p.ids[20:]) for p in _prompts(config)
    ]  # 50 tokens in common
    prefix, same = shared_prefix.without_common_prefix(
        parameters, few, config=config, suffix=1
    )
    assert prefix is None and same is few
