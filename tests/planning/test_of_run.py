"""Experiments of a run at another model's size: their counted work, scaled by hand."""

import dataclasses
import pathlib
from typing import Any

import pytest

from mcq_jax import costs
from mcq_jax.model import ModelConfig
from mcq_jax.model.work import Amount, Work
from mcq_jax.planning import Chunk, PassCost, Plan, listed
from mcq_jax.planning.plan import Memory
from mcq_jax.planning.printing import describe_listed
from mcq_jax.results import About, Record, Spent

# 12 layers of 7 heads + 1, planned after a run of 4 layers of 3 heads + 1.
CONFIG = ModelConfig(
    layers=12, width=64, kv_heads=7, group=1, head_width=32, neurons=512,
    vocabulary=128, context=64, rotary_width=32,
)  # fmt: skip
ABOUT = About(
    title="small", model="small", model_hash="", layers=4, heads=3, questions_from="",
    template="", example_prompt="", labels=(), prompts=1, questions=1, shots=0,
    dtype="", device="", seed=0,
)  # fmt: skip
PROMPTS = Amount(token_layers=40, key_layers=200, unembedded=3)
ROWS = Amount(token_layers=8, key_layers=80, unembedded=8)
WHOLE = Amount(token_layers=400, key_layers=2000, unembedded=11)
PEAK = 1000.0


def _cost(*, flops: float, seconds: float) -> PassCost:
    return PassCost(
        flops=flops, bytes=0.0, bytes_sent=0.0, seconds=seconds, compute_bound=seconds,
        memory_bound=0.0, link_bound=0.0, exchanges=(),
    )  # fmt: skip


# Two chips: prompts run at half of PEAK, rows at a tenth.
PLAN = Plan(
    chips=2, mesh="", chunk=Chunk(1, 1, 1), next_chunk=None, next_bytes=None,
    memory=Memory(parameters=0, keys_and_values=0, rows=0, rest=0),
    prompt_pass=_cost(flops=500, seconds=1), patching=_cost(flops=300, seconds=3),
    prompt_pass_flops_ratio=1, patching_flops_ratio=1, staged_flops_ratio=1, seconds=0,
    seconds_without_engine=0,
)  # fmt: skip


def _folder(path: pathlib.Path, work: Work | None) -> pathlib.Path:
    spent = Spent(
        wall_seconds=1.0, cpu_seconds=1.0, programs=0, compile_seconds=0.0,
        peak_bytes=None, work=work, flops=None if work is None else 1.0,
    )  # fmt: skip
    (path / "findings").mkdir()
    records: dict[str, Any] = {"run": ABOUT, "my_own": {"a": 1}}
    for name, values in records.items():
        text = Record(values=values, spent=spent).to_json(name)
        (path / "findings" / f"{name}.json").write_text(text)
    return path


def _flops(amount: Amount) -> float:
    """Three times the layers; logits are of as many tokens."""
    scaled = dataclasses.replace(amount.times(3), unembedded=amount.unembedded)
    return costs.work_flops(CONFIG, scaled)


def test_work_is_scaled_by_layers_and_rows_by_nodes(tmp_path: pathlib.Path):
    work = Work(prompts=PROMPTS, rows=ROWS, as_full_passes=WHOLE)
    (found,) = listed(_folder(tmp_path, work), CONFIG, PLAN, PEAK)
    assert found.experiment == "my_own"
    prompts = _flops(PROMPTS) / (2 * PEAK / 2)
    rows = _flops(ROWS) / (2 * PEAK / 10)
    assert found.as_many_rows == pytest.approx(prompts + rows)
    nodes = 12 * 8 / (4 * 4)
    assert found.rows_by_node == pytest.approx(prompts + nodes * rows)
    assert found.as_full_passes == pytest.approx(_flops(WHOLE) / (2 * PEAK))
    text = describe_listed("runs/small", (found, found)).splitlines()
    assert [line.split("  ")[1] for line in text[3:]] == ["my own", "my own", "in all"]


def test_a_run_from_before_work_was_counted_is_refused(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="has its work counted"):
        listed(_folder(tmp_path, None), CONFIG, PLAN, PEAK)
