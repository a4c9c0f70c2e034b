"""How rows advance: everyone runs from its birth or before, by programs that pay."""

import dataclasses

import numpy as np
import pytest

from mcq_jax.interventions import Site
from mcq_jax.model import ModelConfig
from mcq_jax.passes import row_groups
from mcq_jax.passes.row_groups import RowGroup, work_of
from mcq_jax.sweeps import every_node, every_position

# The shape of SmolLM2-135M.
CONFIG = ModelConfig(
    layers=30, width=576, kv_heads=3, group=3, head_width=64, neurons=1536,
    vocabulary=49_152, context=8192, rotary_width=64,
)  # fmt: skip
PLANS = {
    "positions": every_position(Site.RESID_PRE, CONFIG, tokens=14),
    "nodes": every_node(CONFIG),
}
MANY = 10**6


def _groups(plan, copies=(1, 1), **options) -> list[RowGroup]:
    return list(row_groups.row_groups(plan, copies, CONFIG, **options))


def _ideal(plan) -> int:
    return int((plan.starts * (CONFIG.layers - plan.births)).sum())


@pytest.mark.few
@pytest.mark.parametrize("options", [{}, {"repeats": MANY}, {"rows_at_once": 40}])
@pytest.mark.parametrize("name", PLANS)
def test_every_row_runs_over_its_tokens_from_its_birth_on(name: str, options):
    plan = PLANS[name]
    groups = _groups(plan, **options)
    for group in groups:
        batches = group.rows.reshape(len(group.births), group.batch)
        assert (plan.births[batches] >= group.births[:, None]).all()
        assert (plan.starts[group.rows] <= group.suffix).all()
        assert group.suffix * len(group.rows) <= options.get("rows_at_once", np.inf)
        for layer in range(CONFIG.layers):
            called = [batch for call in group.calls(layer) for batch in call]
            assert called == np.flatnonzero(group.births <= layer).tolist()
    everyone = np.concatenate([group.rows for group in groups])
    assert set(everyone) == set(range(len(plan.births)))


def test_one_prompt_has_few_programs_whatever_the_number_of_rows():
    for plan, programs, excess in zip(
        PLANS.values(), (8, 6), (1.45, 1.35), strict=True
    ):
        work = work_of(_groups(plan), CONFIG.layers)
        assert work.programs <= programs
        assert work.token_layers <= excess * _ideal(plan)
    fewer = every_node(CONFIG).take(np.arange(40, 300))
    shapes = [{g.batch for g in _groups(plan)} for plan in (fewer, PLANS["nodes"])]
    assert shapes[0] == shapes[1]


def test_sweeps_of_many_prompts_pay_for_programs_that_do_no_more_than_is_needed():
    nodes = work_of(_groups(PLANS["nodes"], (4, 1), repeats=50), CONFIG.layers)
    assert nodes.token_layers == _ideal(PLANS["nodes"])
    assert nodes.programs == CONFIG.layers
    positions = _groups(PLANS["positions"], (4, 1), repeats=50)
    work = work_of(positions, CONFIG.layers)
    assert work.token_layers < 1.1 * _ideal(PLANS["positions"])
    assert 20 < work.programs <= 120


def test_an_accelerator_starts_few_large_batches_of_one_program(monkeypatch):
    accelerator = row_groups.machine_at_hand()
    accelerator = dataclasses.replace(accelerator, most_batches=10)
    monkeypatch.setattr(row_groups, "machine_at_hand", lambda: accelerator)
    groups = _groups(PLANS["positions"], (4, 3), repeats=MANY)
    assert all(len(group.births) <= 10 and not group.together for group in groups)
    assert work_of(groups, CONFIG.layers).programs == len(groups)


def test_shares_of_a_mesh_are_filled(monkeypatch):
    monkeypatch.setattr(row_groups.sharding, "shares_to_fill_data", lambda *_: 5)
    for options in ({}, {"repeats": MANY}):
        groups = _groups(PLANS["nodes"], **options)
        assert all(group.batch % 5 == 0 for group in groups)
