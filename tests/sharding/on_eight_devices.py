"""Sharded passes equal those of one device, and send nothing but sums.

Eight pretend devices exist only in a process that asks before jax starts; so
`test_eight_devices.py` runs this file in one of its own. By hand:
`pytest tests/sharding/on_eight_devices.py`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import passes, planning, sharding, sweeps
from mcq_jax.model import run
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.positions import places_of
from mcq_jax.passes import answers as answers_pass
from mcq_jax.passes import resumed_pass
from mcq_jax.sweeps import forecasts
from tests import programs
from tests.sharding import small_runs as runs
from tests.sharding.small_runs import CHOICES, PROMPTS, SOURCES, TOKENS

jax.config.update("jax_num_cpu_devices", 8)
sharding.make_room_for_exchanges()

MESHES = ("data=8,model=1", "data=1,model=8", "data=2,model=4", "data=4,model=2")
GROUPED = "grouped heads, one stack"
RELATIVE = "relative positions, one stack"
CASES = [
    *(("every head its own keys, one stack", mesh) for mesh in MESHES[1::2]),
    *((GROUPED, mesh) for mesh in MESHES),
    *((RELATIVE, mesh) for mesh in MESHES[1::2]),
    *(("grouped heads, single layers", mesh) for mesh in MESHES[2:]),
    *(("one key head, single layers", mesh) for mesh in MESHES[1::2]),
]
# A sweep takes more programs; single layers differ in the prompt pass only.
SWEPT = [case for case in CASES if case[0] != "grouped heads, single layers"]
SWEPT = [case for case in SWEPT if case[0] == GROUPED or case[1] in MESHES[1::2]]
# Every shape of model and every mesh is met by default, once.
MET = {
    (GROUPED, "data=8,model=1"),
    (GROUPED, "data=2,model=4"),
    ("every head its own keys, one stack", "data=4,model=2"),
    (RELATIVE, "data=4,model=2"),
    ("grouped heads, single layers", "data=2,model=4"),
    ("one key head, single layers", "data=1,model=8"),
}


def _rest_is_exhaustive(cases):
    return [
        pytest.param(*case, marks=[pytest.mark.exhaustive] * (case not in MET))
        for case in cases
    ]


@pytest.fixture(autouse=True)
def few_programs_of_many_devices():
    yield
    programs.forget_if_many()


_alone = functools.cache(
    lambda work, shape: jax.tree.map(np.asarray, work(shape, runs.model_of(shape)[1]))
)


def _on_mesh(work, shape: str, mesh_shape: str, *, fully_sharded: bool = False):
    config, parameters = runs.model_of(shape)
    mesh = sharding.make_mesh(config, mesh_shape)
    with sharding.use_mesh(mesh):
        placed = sharding.shard_parameters(
            parameters, mesh, fully_sharded=fully_sharded
        )
        return sharding.on_every_host(work(shape, placed))


@pytest.mark.parametrize(("shape", "mesh"), _rest_is_exhaustive(CASES))
def test_every_site_of_plain_and_edited_runs_is_that_of_one_device(shape, mesh):
    runs.assert_equal(
        _on_mesh(runs.forwards, shape, mesh), _alone(runs.forwards, shape)
    )


@pytest.mark.parametrize(("shape", "mesh"), _rest_is_exhaustive(SWEPT))
def test_a_sweep_is_that_of_one_device(shape, mesh):
    runs.assert_equal(_on_mesh(runs.sweep, shape, mesh), _alone(runs.sweep, shape))


# What splits both prompts and the model; the other meshes are exhaustive.
split_both = pytest.mark.parametrize(
    "mesh",
    [pytest.param(MESHES[0], marks=pytest.mark.exhaustive), "data=4,model=2"],
)


@split_both
def test_a_labelled_sweep_fills_up_its_chunks_and_is_that_of_one_device(mesh):
    runs.assert_equal(_on_mesh(runs.table, GROUPED, mesh), _alone(runs.table, GROUPED))


def test_a_device_of_a_mesh_is_forecast_to_need_what_its_prompts_need(monkeypatch):
    monkeypatch.setattr(forecasts, "_PROGRAM_BYTES", 0)  # a tiny model's are the most

    def forecast(_, parameters, prompts):
        config = runs.config_of(GROUPED)
        every_node = sweeps.every_node(config)
        return sweeps.forecast(
            parameters, runs.asked_of(config), every_node, runs.NEXT, config=config,
            prompts_at_once=prompts,
        ).peak_bytes  # fmt: skip

    one = functools.partial(forecast, prompts=1)
    alone = one(GROUPED, runs.model_of(GROUPED)[1])
    mesh = "data=8,model=1"
    for prompts in (1, 3, 8):  # the chunks beside it and dummies make it 8 each time
        work = functools.partial(forecast, prompts=prompts)
        assert _on_mesh(work, GROUPED, mesh) == pytest.approx(alone, rel=0.05)
    assert _on_mesh(one, GROUPED, "data=1,model=8") < 0.7 * alone


@split_both
def test_rows_of_a_lone_prompt_are_split_and_give_the_numbers_of_one_device(mesh):
    runs.assert_equal(
        _on_mesh(runs.lone_prompt, GROUPED, mesh), _alone(runs.lone_prompt, GROUPED)
    )


def test_what_sources_hold_lies_with_their_prompts():
    config, _ = runs.model_of(GROUPED)
    held = np.arange(2 * 8 * 3 * 5).reshape(2, 8, 3, 5)
    with sharding.use_mesh(sharding.make_mesh(config, "data=4,model=2")):
        of_prompts = sharding.place_over_data(held, axes=(1, 2))
        of_sources = sharding.place_over_data(held.swapaxes(1, 2), axes=(1, 2))
        odd = sharding.place_over_data(held[:, :3], axes=(1, 2))
    assert of_prompts.addressable_shards[0].data.shape == (2, 2, 3, 5)
    assert of_sources.addressable_shards[0].data.shape == (2, 3, 2, 5)
    assert odd.is_fully_replicated
    np.testing.assert_array_equal(of_prompts, held)


@split_both
def test_split_rows_begin_where_they_stay(mesh: str):
    config, model = runs.config_of(GROUPED), sharding.MeshShape.parse(mesh, devices=8)
    passes = planning.Passes(
        config=config,
        mesh=sharding.make_mesh(config, mesh),
        tokens=TOKENS,
        dtype="float32",
    )
    resumed = passes.resume(passes.prefill(1).result, 3)
    found = {"_begin": [], "_advance": []}
    for program in resumed.programs:
        if program.name in found:
            masks = 3 * len(sweeps.every_node(config).masks) * config.nodes
            found[program.name].append(_large(program.collectives, least=masks))
    assert found["_begin"] and not any(found["_begin"])
    for exchanges in found["_advance"]:
        assert {c.kind for c in exchanges} <= {"all-reduce"}
        assert {c.devices for c in exchanges} <= {model.model}
        assert len(exchanges) == (2 if model.model > 1 else 0)


def _flops_of_a_device(devices: int, prompts: int) -> float:
    config = runs.config_of(GROUPED)
    mesh = sharding.make_mesh(config, "model=1", devices=jax.devices()[:devices])
    passes = planning.Passes(config=config, mesh=mesh, tokens=TOKENS, dtype="float32")
    start = passes.prefill(prompts)
    resumed = passes.resume(start.result, SOURCES, rows=12)
    return sum(p.count * p.flops for p in (*start.programs, *resumed.programs))


def test_a_device_does_its_share_of_the_work_and_no_more():
    alone = _flops_of_a_device(1, PROMPTS)
    split = _flops_of_a_device(8, PROMPTS)
    assert 8 * split == pytest.approx(alone, rel=0.02)
    assert split == pytest.approx(_flops_of_a_device(1, PROMPTS // 8), rel=0.02)


def test_a_chunk_has_the_same_neighbours_whichever_are_wanted():
    config, chunks = runs.config_of(GROUPED), [np.array([i]) for i in range(11)]
    seen = []
    mesh = sharding.make_mesh(config, "data=4,model=2")
    with sharding.use_mesh(mesh):
        for only in (None, [1, 9]):
            found = sharding.run_chunks(
                chunks, lambda prompts: seen.append(prompts.tolist()) or prompts,
                only=only,
            )  # fmt: skip
            places = range(11) if only is None else only
            assert [f.tolist() for f in found] == [[i] for i in places]
    whole = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 10]]
    assert seen == [*whole, whole[0], whole[2]]


def test_a_mesh_of_one_device_changes_no_bit():
    config, parameters = runs.model_of(GROUPED)
    mesh = sharding.make_mesh(config, "model=1", devices=jax.devices()[:1])
    with sharding.use_mesh(mesh):
        placed = sharding.shard_parameters(parameters, mesh)
        found = runs.sweep(GROUPED, placed)
    for have, want in zip(
        jax.tree.leaves(found),
        jax.tree.leaves(_alone(runs.sweep, GROUPED)),
        strict=True,
    ):
        np.testing.assert_array_equal(have, want)


def test_fully_sharded_parameters_give_the_numbers_of_one_device():
    found = _on_mesh(runs.sweep, GROUPED, "data=4,model=2", fully_sharded=True)
    runs.assert_equal(found, _alone(runs.sweep, GROUPED))


def test_every_device_holds_its_share_of_the_weights():
    config, parameters = runs.model_of(GROUPED)
    mesh = sharding.make_mesh(config, "data=2,model=4")
    whole = sum(w.nbytes for w in jax.tree.leaves(parameters))

    def on_one_device(fully_sharded):
        placed = sharding.shard_parameters(
            parameters, mesh, fully_sharded=fully_sharded
        )
        leaves = jax.tree.leaves(placed)
        return sum(w.addressable_shards[0].data.nbytes for w in leaves)

    # Keys and values of a head, and norm gains, are held more than once.
    assert whole / 4 <= on_one_device(False) < 1.25 * whole / 4
    assert on_one_device(True) < 0.75 * on_one_device(False)


def test_fewer_prompts_than_parts_split_the_sources_or_their_rows_instead():
    config, _ = runs.model_of(GROUPED)
    mesh = sharding.make_mesh(config, "data=4,model=2")
    with sharding.use_mesh(mesh):
        x = sharding.rows_over_data(jnp.zeros((1, 4, 3, 8)), leading=2)
        assert x.sharding.spec[:2] == (None, "data")
        odd = sharding.rows_over_data(jnp.zeros((1, 6, 2, 8)), leading=2)
        assert odd.sharding.is_fully_replicated
        assert sharding.shares_to_fill_data(8, 6) == 1
        assert sharding.shares_to_fill_data(1, 4) == 1
        assert sharding.shares_to_fill_data(1, 6) == 2
        assert sharding.shares_to_fill_data(3, 5) == 4
    assert sharding.shares_to_fill_data(1, 3) == 1


def _programs(shape: str, mesh_shape: str, *, fully_sharded: bool = False):
    """The compiled text of a prompt pass's layers and of a resumed layer."""
    config, parameters = runs.model_of(shape)
    mesh = sharding.make_mesh(config, mesh_shape)
    with sharding.use_mesh(mesh):
        placed = sharding.shard_parameters(
            parameters, mesh, fully_sharded=fully_sharded
        )
        start = passes.prefill(placed, *runs.prompts_of(config), config=config)
        constants = layer_constants(config)
        index = jnp.broadcast_to(jnp.arange(TOKENS), (PROMPTS, TOKENS))
        places = places_of(index, config)
        tokens = runs.prompts_of(config)[0]
        x, _ = run.run_embed(placed.embed, tokens, index, config=config)
        layers = run._scan_layers.lower(
            placed.layers[0], x, (), places, constants, (), (),
            config=config, keep_blocks=True,
        )  # fmt: skip
        plan = sweeps.every_node(config).take(np.arange(config.nodes))
        rows = plan.rows_at(0)
        batch, places_of_rows = resumed_pass._begin(
            start.resid_pre, start.answer_position, 0,
            np.zeros(config.nodes, np.int32), suffix=1, sources=SOURCES, config=config,
        )  # fmt: skip
        sources = {
            site: jnp.zeros((config.layers, PROMPTS, SOURCES, 1, *nodes.shape[2:]))
            for site, nodes in start.nodes.items()
        }
        resumed = resumed_pass._advance.lower(
            (placed.layers[0], (start.blocks[0],), np.int32(0)),
            (constants, sources, np.int32(0)), [batch], places_of_rows, rows,
            np.ones(config.nodes, bool),
            edits_of=plan.edits, config=config,
        )  # fmt: skip
        answers = answers_pass._read_answers.lower(
            placed.unembedding, batch, np.zeros((PROMPTS, CHOICES), np.int32),
            config=config, chunk=64, full_vocabulary=True,
        )  # fmt: skip
        return [p.compile().as_text() or "" for p in (layers, resumed, answers)]


def _exchanges(program: str) -> list[sharding.Collective]:
    return _large(sharding.collectives(program), least=4 * PROMPTS)


# Masks of rows are a few bits, and may go anywhere.
def _large(exchanges, *, least: int) -> list[sharding.Collective]:
    return [c for c in exchanges if c.bytes > least]


@pytest.mark.parametrize(
    ("shape", "mesh"),
    [
        ("every head its own keys, one stack", MESHES[2]),
        (RELATIVE, MESHES[2]),
        (GROUPED, MESHES[2]),
        *(
            pytest.param(GROUPED, mesh, marks=pytest.mark.exhaustive)
            for mesh in (*MESHES[:2], MESHES[3])
        ),
    ],
)
def test_programs_only_add_up_over_the_model_axis(shape: str, mesh: str):
    model = sharding.MeshShape.parse(mesh, devices=8).model
    layers, resumed, answers = (_exchanges(p) for p in _programs(shape, mesh))
    for found in (layers, resumed, answers):
        assert {c.kind for c in found} <= {"all-reduce"}
        assert {c.devices for c in found} <= {model}
    if model > 1:  # one sum after attention, one after the feed-forward block
        assert len(layers) == len(resumed) == 2
        assert answers


def test_fully_sharded_weights_are_gathered_and_nothing_else_is():
    layers, resumed, answers = (
        _exchanges(p) for p in _programs(GROUPED, "data=4,model=2", fully_sharded=True)
    )
    config, parameters = runs.model_of(GROUPED)
    matrices = [w for w in jax.tree.leaves(parameters.layers) if w.ndim > 2]
    matrices = [w for w in matrices if w.shape.count(config.width)]
    for found in (layers, resumed):
        gathered = [c for c in found if c.kind == "all-gather"]
        assert len(gathered) == len(matrices)
        assert sum(c.bytes for c in gathered) <= sum(w[0].nbytes for w in matrices)
    kinds = {c.kind for c in (*layers, *resumed)}
    assert kinds == {"all-gather", "all-reduce"}
    assert {c.kind for c in answers} <= {"all-reduce"}
