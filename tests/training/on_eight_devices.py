"""A training on eight devices is that of one, on any mesh.

Eight pretend devices exist only in a process that asks before jax starts; so
`test_eight_devices.py` runs this file in one of its own.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import sharding
from mcq_jax.checkpoints import load
from mcq_jax.training import Member, TrainingConfig, initialise, optimiser, steps, train
from mcq_jax.training.placement import Placement, placement
from tests.training.small import CONFIG, TOKENIZER, Counting

jax.config.update("jax_num_cpu_devices", 8)
sharding.make_room_for_exchanges()

STEPS = 3
# A large epsilon: what is left of a gradient that cancels is its rounding, and Adam
# would make steps of it.
ONE = TrainingConfig(
    title="counting",
    model=dataclasses.replace(CONFIG, group=2, neurons=32, vocabulary=16),
    tokenizer=TOKENIZER,
    members=(Member(name="a", stream=Counting(rows=16), learning_rate=0.01),),
    steps=STEPS,
    warm_up=1,
    epsilon=1e-3,
    rows_at_once=8,
)
MANY = dataclasses.replace(
    ONE,
    members=tuple(
        dataclasses.replace(ONE.members[0], name=str(i), seed=i, stream=Counting(i, 16))
        for i in range(4)
    ),
)
ALONE = Placement(mesh=None, fully_sharded=False, one_by_one=True)


def _run(config: TrainingConfig, where: Placement, sizes: tuple[int, ...] = (2,)):
    """The state after some steps, and their losses."""
    fresh = [
        optimiser.start(
            initialise(config.model, jax.random.key(m.seed), sizes=sizes), config
        )
        for m in config.members
    ]
    batches = steps.stacked(
        [[m.stream.batch(step) for m in config.members] for step in range(STEPS)],
        8,
        STEPS,
    )
    with where.context():
        state = where.place_state(jax.tree.map(lambda *a: jnp.stack(a), *fresh))
        run = steps.compiled_steps(config, where)
        return run(
            state,
            where.place_batches(batches),
            jnp.int32(0),
            jnp.int32(STEPS),
            optimiser.rates_of(config.members),
        )


@functools.cache
def _on_one_device(config: TrainingConfig):
    return _run(config, ALONE)


def _check_same(one, other) -> None:
    for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("mesh", "fully_sharded"),
    [
        pytest.param("data=8,model=1", False, marks=pytest.mark.exhaustive),
        pytest.param("data=2,model=4", False, marks=pytest.mark.exhaustive),
        ("data=4,model=2", True),
    ],
)
def test_a_model_trains_on_a_mesh_as_on_one_device(mesh: str, fully_sharded: bool):
    config = dataclasses.replace(ONE, mesh=mesh, fully_sharded=fully_sharded)
    state, losses = _run(config, placement(config))
    _check_same((state, losses), _on_one_device(ONE))
    up = state.parameters.layers[0]["feedforward"]["up"]
    moments = jax.tree.leaves(state.moments)
    held = {leaf.sharding for leaf in moments if leaf.shape == up.shape}
    assert up.sharding in held
    assert up.addressable_data(0).size == up.size // (8 if fully_sharded else {
        "data=8,model=1": 1, "data=2,model=4": 4}[mesh])  # fmt: skip


def test_many_models_train_on_many_devices_as_on_one():
    where = placement(MANY)
    assert where.mesh is not None and where.mesh.size == 4
    state, losses = _run(MANY, where)
    _check_same((state, losses), _on_one_device(MANY))
    together = dataclasses.replace(where, one_by_one=False)
    _check_same(_run(MANY, together), _on_one_device(MANY))


def test_a_training_on_a_mesh_is_kept_and_goes_on(tmp_path: pathlib.Path):
    config = dataclasses.replace(ONE, mesh="data=4,model=2", out=str(tmp_path / "run"))
    train(dataclasses.replace(config, steps=1), quiet=True)
    resumed = train(config, quiet=True)
    whole = train(dataclasses.replace(config, out=str(tmp_path / "whole")), quiet=True)
    files = [t.folder / "a" / "curve.jsonl" for t in (resumed, whole)]
    assert files[0].read_bytes() == files[1].read_bytes()
    hashes = {load(t.checkpoints["a"]).content_hash for t in (resumed, whole)}
    assert len(hashes) == 1
