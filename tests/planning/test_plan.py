"""Plans count what would run: their FLOPs, times and chunks are checked by hand."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from mcq_jax import costs, passes, sharding, sweeps
from mcq_jax.costs.formulas import layer_flops, unembed_flops
from mcq_jax.model import ModelConfig, initialise
from mcq_jax.passes.row_groups import row_groups
from mcq_jax.planning import (
    Chip,
    Chunk,
    Passes,
    Program,
    Sweep,
    compile_all,
    formulas,
    largest_fitting,
    make_plan,
    pass_cost,
)
from mcq_jax.planning.passes import rows_by_call
from mcq_jax.planning.plan import chunk_sizes
from mcq_jax.planning.printing import describe

CONFIG = ModelConfig(
    layers=4, width=64, kv_heads=2, group=2, head_width=32, neurons=512,
    vocabulary=128, context=64, rotary_width=32,
)  # fmt: skip
TOKENS, PROMPTS, SOURCES = 24, 2, 3
EVERY_ROW = CONFIG.layers * CONFIG.nodes
CHIP = Chip(
    name="test", memory=1e6, memory_bandwidth=100.0, peak_flops=1000.0,
    link_bandwidth=10.0,
)  # fmt: skip


@functools.cache
def _passes() -> Passes:
    mesh = sharding.make_mesh(CONFIG, devices=jax.devices()[:1])
    return Passes(config=CONFIG, mesh=mesh, tokens=TOKENS, dtype="float32")


def _flops(run) -> float:
    return sum(program.flops * program.count for program in run.programs)


def test_the_flops_of_a_prompt_pass_are_those_of_the_formula():
    counted = _flops(_passes().prefill(PROMPTS, stacked=False))
    formula = PROMPTS * costs.prefill_flops(CONFIG, tokens=TOKENS)
    assert counted == pytest.approx(formula, rel=0.05)


@pytest.mark.slow
def test_an_average_call_costs_what_the_batches_do():
    start = _passes().prefill(PROMPTS)
    counted = _flops(_passes().resume(start.result, SOURCES))
    every_node = sweeps.every_node(CONFIG)
    groups = row_groups(every_node, (PROMPTS, SOURCES), CONFIG)
    running = rows_by_call(groups, CONFIG)
    stand_in = _passes().resume(start.result, SOURCES, rows=round(running.mean()))
    as_often = len(running) / CONFIG.layers * _flops(stand_in)
    assert as_often == pytest.approx(counted, rel=0.02)
    formula = PROMPTS * SOURCES * running.sum() * layer_flops(CONFIG, keys=TOKENS)
    assert counted == pytest.approx(formula, rel=0.05)


def _running(rows_at_once: int) -> np.ndarray:
    chunk = Chunk(PROMPTS, SOURCES, rows_at_once)
    return rows_by_call(_passes().groups(chunk), CONFIG)


def test_rows_run_in_batches_that_begin_with_their_first():
    # Five nodes in each of four layers: two of ten, one after the other.
    assert _running(EVERY_ROW).tolist() == [10] * (4 + 2)
    # Twelve at once are such two as well.
    assert _running(12).tolist() == [10] * (4 + 2)
    assert _running(1).tolist() == [1] * CONFIG.nodes * (4 + 3 + 2 + 1)


def test_formulas_of_patching_differ_by_the_rows_that_run_before_they_are_born():
    everything, single = (Chunk(PROMPTS, SOURCES, n) for n in (EVERY_ROW, 1))
    born = formulas.patching_flops(_passes(), everything)
    assert formulas.staged_patching_flops(_passes(), single) == pytest.approx(born)
    more = formulas.staged_patching_flops(_passes(), everything) - born
    early = _running(EVERY_ROW).sum() - CONFIG.nodes * (4 + 3 + 2 + 1)
    by_hand = PROMPTS * SOURCES * early * layer_flops(CONFIG, keys=TOKENS)
    assert more == pytest.approx(by_hand) and more > 0


def test_prompts_share_the_projection_of_relative_positions():
    relative = dataclasses.replace(CONFIG, relative_positions=True, rotary_width=0)
    passes = dataclasses.replace(_passes(), config=relative)

    def shared(flops):
        return 2 * flops(1) - flops(2)

    counted = shared(lambda prompts: _flops(passes.prefill(prompts, stacked=False)))
    formula = shared(lambda prompts: formulas.prompt_pass_flops(passes, prompts))
    assert counted == pytest.approx(formula, rel=0.1)


def test_the_flops_of_answers_are_those_of_the_vocabulary():
    answers, rows = _passes().read_answers(PROMPTS)
    formula = rows * unembed_flops(CONFIG)
    assert _flops(answers) == pytest.approx(formula, rel=0.1)


def test_a_plan_holds_the_weights_and_the_keys_that_a_run_would():
    parameters = initialise(CONFIG, jax.random.key(0), sizes=(CONFIG.layers,))
    tokens = np.zeros((PROMPTS, TOKENS), np.int32)
    real = passes.prefill(parameters, tokens, np.full(PROMPTS, TOKENS), config=CONFIG)
    planned = _passes().prefill(PROMPTS)
    as_shapes = jax.tree.map(lambda a: (a.shape, a.dtype), (parameters, real))
    planned = (_passes().parameters(), planned.result)
    assert as_shapes == jax.tree.map(lambda s: (s.shape, s.dtype), planned)


def test_equal_calls_are_compiled_once_and_counted():
    @jax.jit
    def double(x):
        return 2 * x @ x

    def run(x):
        for _ in range(3):
            x = double(x)
        return x[0]

    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    found = compile_all(run, jax.ShapeDtypeStruct((8, 8), "float32", sharding=here))
    counts = {program.name: program.count for program in found.programs}
    assert counts["double"] == 3
    assert found.result.shape == (8,)
    # The argument, one product and the next.
    assert found.peak_bytes - found.temporary_bytes == 3 * 8 * 8 * 4


def test_the_longest_of_three_terms_is_a_programs_time():
    send = sharding.Collective(kind="all-reduce", bytes=40, devices=2, source="")
    work = Program(name="work", count=1, flops=500, bytes=10, collectives=())
    read = Program(name="read", count=1, flops=100, bytes=200, collectives=())
    both = Program(name="both", count=1, flops=0, bytes=0, collectives=(send,))
    cost = pass_cost([(work, 2), (read, 1), (both, 3)], CHIP)
    assert cost.compute_bound == 2 * 0.5
    assert cost.memory_bound == 2.0
    assert cost.link_bound == 3 * 4.0  # 40 bytes there and back, halved by two chips
    assert cost.seconds == 15.0
    assert cost.limit == "links"
    (exchange,) = cost.exchanges
    assert (exchange.kind, exchange.count, exchange.bytes) == ("all-reduce", 3, 120)


def test_more_rows_at_once_come_before_more_prompts():
    sizes = chunk_sizes(_passes(), Sweep(prompts=2, sources=3))
    assert [chunk.rows for chunk in sizes] == [2, 3, 4, 5, 7, 10, 20, 20]
    assert [chunk.prompts for chunk in sizes] == [1] * 7 + [2]
    assert {chunk.sources for chunk in sizes} == {3}


def test_a_chunk_is_read_from_text():
    assert Chunk.parse("4x10x1300") == Chunk(4, 10, 1300)
    for text in ("4x10", "4x10x0", "4xtenx3", ""):
        with pytest.raises(ValueError, match="as in 4x10x1300"):
            Chunk.parse(text)


def _size(chunk: Chunk) -> float:
    return chunk.prompts * chunk.sources * chunk.rows


@pytest.mark.parametrize("room", [130, 135, 299, 300, 1205])
@pytest.mark.parametrize("optimism", [0.2, 1, 5])
def test_the_largest_chunk_fits_and_the_next_does_not(room: int, optimism: float):
    chunks = [Chunk(n, 10, 20) for n in range(1, 400)]
    asked = []

    def measure(chunk):  # memory that does not grow quite evenly
        asked.append(chunk)
        return 100 + _size(chunk) / 10 + 3 * (chunk.prompts % 3)

    found, following, size = largest_fitting(
        chunks, measure, room, expect=lambda chunk: _size(chunk) / 10 / optimism
    )
    assert following is not None and size is not None
    assert measure(found) <= room < size == measure(following)
    assert chunks.index(following) == chunks.index(found) + 1
    assert len(asked) <= 10


def test_what_does_not_compile_does_not_fit():
    chunks = [Chunk(n, 1, 1) for n in range(1, 9)]

    def measure(chunk):
        return None if chunk.prompts > 3 else float(chunk.prompts)

    found, following, size = largest_fitting(chunks, measure, 100, expect=_size)
    assert (found, following, size) == (chunks[2], chunks[3], None)
    with pytest.raises(ValueError, match="smallest chunk"):
        largest_fitting(chunks, lambda chunk: None, 100, expect=_size)


def test_a_chunk_that_was_asked_for_is_not_searched():
    (only,) = chunks = [Chunk(2, 3, 4)]
    found = largest_fitting(chunks, lambda chunk: 10.0, 100, expect=_size)
    assert found == (only, None, None)
    with pytest.raises(ValueError, match=r"2 prompts x 3 sources x 4 rows, needs"):
        largest_fitting(chunks, lambda chunk: 1e9, 100, expect=_size)


@pytest.mark.slow
def test_a_plan_is_made_and_described():
    chip = dataclasses.replace(CHIP, memory=5e6)
    sweep = Sweep(prompts=200, sources=SOURCES, tokens=TOKENS)
    plan = make_plan(_passes(), sweep, chip, say=lambda text: None)
    assert plan.next_bytes is not None
    assert plan.memory.total <= chip.memory < plan.next_bytes
    assert plan.prompt_pass_flops_ratio == pytest.approx(1, rel=0.05)
    # Rows begin with the first of their batch, so that some run before they are born.
    assert 1 < plan.patching_flops_ratio < 1.7
    assert plan.staged_flops_ratio == pytest.approx(1, rel=0.05)
    assert plan.seconds < plan.seconds_without_engine
    assert f"largest chunk that fits: {plan.chunk}" in describe(plan, sweep, chip)
