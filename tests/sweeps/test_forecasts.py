"""What a sweep is said to take, against what it takes."""

import dataclasses

import jax
import numpy as np
import pytest

from mcq_jax import Site, costs
from mcq_jax.costs import machine, prefill_flops
from mcq_jax.sweeps import (
    Direction,
    Sources,
    every_node,
    every_position,
    forecast,
    forecasts,
    sweep,
)
from tests.sweeps.small import CONFIG, PROMPTS, SOURCES, small_parameters

KINDS = SOURCES.index.shape[1]
PLANS = {
    "nodes": every_node(CONFIG),
    # So many tokens that the rows take more memory than the prompts' own pass.
    "residual": every_position(Site.RESID_PRE, CONFIG, tokens=5),
}


def _forecast(plan, **changes):
    return forecast(
        small_parameters(), PROMPTS, plan, SOURCES, config=CONFIG, **changes
    )


def test_flops_are_those_of_both_prompt_passes_and_of_rows_from_their_births_on():
    lengths = [len(p.ids) for p in PROMPTS[: len(SOURCES.index)]]
    layers = CONFIG.layers
    row_layers = CONFIG.nodes * sum(range(1, layers + 1))
    per_run = row_layers * costs.layer_flops(CONFIG, keys=int(np.mean(lengths)))
    per_run += layers * CONFIG.nodes * costs.unembed_flops(CONFIG)
    prompts = 2 * sum(prefill_flops(CONFIG, tokens=n) for n in lengths)
    found = _forecast(PLANS["nodes"])
    assert found.flops == pytest.approx(prompts + len(lengths) * KINDS * per_run)
    assert found.runs == len(lengths) * KINDS * layers * CONFIG.nodes


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_rows_that_do_not_fit_are_split_and_the_numbers_stay(name: str, monkeypatch):
    plan = PLANS[name]
    monkeypatch.setattr(forecasts, "_PROGRAM_BYTES", 0)  # a tiny model's are the most
    whole = _forecast(plan)
    assert whole.rows_at_once >= plan.starts.sum()
    assert whole.free_bytes and whole.peak_bytes < whole.free_bytes
    resident = sum(leaf.nbytes for leaf in jax.tree.leaves(small_parameters()))
    assert whole.peak_bytes > resident
    table = sweep(small_parameters(), PROMPTS, plan, SOURCES, config=CONFIG)

    few = _forecast(plan, rows_at_once=3)
    assert few.peak_bytes < whole.peak_bytes
    room = (few.peak_bytes + whole.peak_bytes) / 2 - resident
    monkeypatch.setattr(forecasts, "free_bytes", lambda: room / 0.9)
    split = _forecast(plan)
    assert split.rows_at_once < whole.rows_at_once
    assert split.peak_bytes <= room + resident + 1
    said: list[str] = []
    again = sweep(
        small_parameters(), PROMPTS, plan, SOURCES, config=CONFIG, say=said.append
    )
    assert f"{split.rows_at_once} rows at once" in said[0]
    for metric, values in table.values.items():
        np.testing.assert_allclose(again.values[metric], values, atol=2e-5)


@pytest.mark.slow
def test_compiling_is_forecast_and_on_cpus_its_memory(monkeypatch):
    counted = [_forecast(plan) for plan in PLANS.values()]
    monkeypatch.setattr(forecasts, "_PROGRAM_BYTES", 0)
    rest = [_forecast(plan).peak_bytes for plan in PLANS.values()]
    # A tiny model's rows are done sooner than a second program compiles.
    assert [found.programs for found in counted] == [1, 1]
    for found, without in zip(counted, rest, strict=True):
        assert found.peak_bytes - without == 4e6
        assert found.compile_seconds == machine.CPU.compiling


def test_full_passes_are_forecast_beside_the_sweep():
    found = _forecast(PLANS["nodes"])
    lengths = [len(PROMPTS[i].ids) for i in range(len(SOURCES.index))]
    rows = KINDS * CONFIG.layers * CONFIG.nodes
    full = rows * sum(prefill_flops(CONFIG, tokens=n) for n in lengths)
    assert found.full_pass_seconds / found.seconds == pytest.approx(full / found.flops)
    assert "programs to compile" in str(found) and "full passes" in str(found)


def test_what_cannot_fit_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(forecasts, "free_bytes", lambda: 1)
    with pytest.raises(ValueError, match="one row at a time take .* prompts_at_once"):
        sweep(small_parameters(), PROMPTS, PLANS["nodes"], SOURCES, config=CONFIG)


@pytest.mark.slow
def test_sources_that_are_patched_themselves_are_counted_as_prompts():
    one = Sources(kinds=("a",), index=SOURCES.index[:, :1])
    asked = (small_parameters(), PROMPTS, PLANS["nodes"])
    directed = [
        forecast(*asked, one, config=CONFIG, direction=direction)
        for direction in Direction
    ]
    assert directed[0].runs == directed[1].runs
    assert directed[0].peak_bytes == directed[1].peak_bytes
    both = _forecast(PLANS["nodes"], direction=Direction.DENOISE)
    assert both.peak_bytes > directed[1].peak_bytes
    assert dataclasses.replace(both, free_bytes=None).__str__().endswith("in use.")
