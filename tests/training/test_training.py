"""Training learns, goes on where it was stopped, and keeps what opens elsewhere."""

import dataclasses
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.checkpoints import load
from mcq_jax.training import (
    Branch,
    Member,
    TrainingConfig,
    initialise,
    log_spaced,
    next_token_loss,
    optimiser,
    read_curve,
    train,
)
from tests.training.small import CONFIG, TOKENIZER, Counting

STEPS = 24
ONE = TrainingConfig(
    title="counting",
    model=CONFIG,
    tokenizer=TOKENIZER,
    members=(Member(name="a", stream=Counting(), learning_rate=0.02),),
    steps=STEPS,
    warm_up=4,
    rows_at_once=4,
    steps_at_once=5,
    save_every=7,
    checkpoints=log_spaced(STEPS, per_doubling=1),
)


def _measure(parameters, member: Member) -> dict[str, float]:
    table = parameters.embed["~"]["table"]
    return {"size": float(np.abs(table).mean()), "rate": member.learning_rate}


def _curve(config: TrainingConfig, member: str = "a") -> str:
    assert config.out is not None
    return (pathlib.Path(config.out) / member / "curve.jsonl").read_text()


@pytest.fixture
def config(tmp_path: pathlib.Path) -> TrainingConfig:
    return dataclasses.replace(ONE, out=str(tmp_path / "run"), evaluate=_measure)


def test_it_learns_and_keeps_checkpoints(config: TrainingConfig):
    trained = train(dataclasses.replace(config, steps=60, checkpoints=(0,)), quiet=True)
    losses = [
        line["loss"] for line in read_curve(trained.folder / "a") if "loss" in line
    ]
    assert len(losses) == 60
    assert losses[0] == pytest.approx(math.log(13), abs=0.3)
    assert losses[-1] < 0.3
    last = load(trained.checkpoints["a"])
    assert last.config == CONFIG and last.tokenizer.vocabulary_size == 13
    batch = Counting().batch(60)
    assert next_token_loss(last.parameters, batch, config=CONFIG) < 0.3
    first = load(trained.folder / "a/checkpoints/step-00000000").parameters
    jax.tree.map(
        np.testing.assert_array_equal, first, initialise(CONFIG, jax.random.key(0))
    )


def test_the_first_loss_is_that_of_the_initial_weights(config: TrainingConfig):
    trained = train(dataclasses.replace(config, steps=1, checkpoints=()), quiet=True)
    lines = read_curve(trained.folder / "a")
    expected = next_token_loss(
        initialise(CONFIG, jax.random.key(0)), Counting().batch(0), config=CONFIG
    )
    assert lines[0]["step"] == 1
    assert lines[0]["loss"] == pytest.approx(float(expected), rel=1e-6)
    assert lines[1].keys() == {"step", "size", "rate"}


@pytest.mark.slow
def test_stopped_at_any_moment_the_curve_is_the_same(
    config: TrainingConfig, tmp_path: pathlib.Path
):
    train(config, quiet=True)
    stopped = dataclasses.replace(config, out=str(tmp_path / "stopped"))
    for stop in (2, 9, 23):
        with pytest.raises(KeyboardInterrupt):
            train(_stopping_at(stopped, stop), quiet=True)
    trained = train(stopped, quiet=True)
    assert _curve(stopped) == _curve(config)
    again = load(trained.checkpoints["a"]).content_hash
    whole = load(tmp_path / f"run/a/checkpoints/step-{STEPS:08d}").content_hash
    assert again == whole


def _stopping_at(config: TrainingConfig, stop: int) -> TrainingConfig:
    class Stopping(Counting):
        def batch(self, step: int):
            if step == stop:
                raise KeyboardInterrupt
            return super().batch(step)

    members = tuple(
        dataclasses.replace(member, stream=Stopping()) for member in config.members
    )
    return dataclasses.replace(config, members=members)


@pytest.mark.slow
def test_a_constant_training_can_be_made_longer(config: TrainingConfig):
    short = dataclasses.replace(config, steps=10, checkpoints=(), evaluate=None)
    long = dataclasses.replace(short, steps=20, out=f"{config.out}-long")
    train(short, quiet=True)
    train(dataclasses.replace(short, steps=20), quiet=True)
    train(long, quiet=True)
    assert _curve(short) == _curve(long)


@pytest.mark.slow
def test_a_branch_goes_on_from_a_kept_state(config: TrainingConfig):
    trunk = dataclasses.replace(
        config, steps=14, checkpoints=(8,), keeps_states=True, evaluate=None
    )
    train(trunk, quiet=True)
    branch = dataclasses.replace(
        trunk,
        out=f"{config.out}-branch",
        branch=Branch(folder=str(config.out), step=8),
        steps=14,
        decay_from=10,
        checkpoints=(8,),
    )
    trained = train(branch, quiet=True)
    there = [line["loss"] for line in read_curve(trained.folder / "a")]
    on_trunk = [line["loss"] for line in read_curve(pathlib.Path(f"{config.out}/a"))]
    assert len(there) == 6
    # The rate is lower from the twelfth step on, whose own loss is from before it.
    assert there[:4] == on_trunk[8:12] and there[4] != on_trunk[12]
    with pytest.raises(FileNotFoundError, match="no state at .*step-00000009"):
        train(
            dataclasses.replace(
                branch,
                branch=Branch(folder=str(config.out), step=9),
                out=f"{config.out}-other",
                checkpoints=(),
            ),
            quiet=True,
        )


def test_rates_rise_and_fall_as_they_are_asked_to():
    def rates(**changes) -> list[float]:
        factor = optimiser.schedule(dataclasses.replace(ONE, warm_up=4, **changes))
        return [float(factor(step)) for step in range(STEPS)]

    constant, cosine = rates(), rates(schedule="cosine")
    assert constant == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 21)
    assert cosine[:4] == constant[:4] and cosine[14] == pytest.approx(0.5)
    dropping = rates(drops=((10, 0.5), (14, 0.2)))
    assert dropping == pytest.approx(constant[:10] + [0.5] * 4 + [0.1] * 10)
    falling = rates(decay_from=14)
    assert falling[:14] == constant[:14]
    assert falling[14:] == pytest.approx(np.linspace(1, 0.1, 10))
    with pytest.raises(ValueError, match="each with a factor above 0"):
        dataclasses.replace(ONE, drops=((10, 0.0),))


@pytest.mark.slow
def test_weight_decay_is_of_the_matrices_of_layers_only():
    parameters = initialise(CONFIG, jax.random.key(0))
    config = dataclasses.replace(ONE, largest_gradient=math.inf, warm_up=0)
    nothing = jax.tree.map(jnp.zeros_like, parameters)
    rates = optimiser.Rates(jnp.float32(0.5), jnp.float32(0.25))
    state = optimiser.start(parameters, config)
    after = optimiser.update(state, nothing, jnp.int32(0), rates, config).parameters
    left = jax.tree.map(lambda a, b: float((a / b).mean()), after, parameters)
    assert left.embed["~"]["table"] == 1 and left.unembed["~"]["norm_gain"] == 1
    for group in ("attention", "feedforward"):
        for name, share in left.layers[0][group].items():
            is_gain = name == "norm_gain"
            assert share == pytest.approx(1 if is_gain else 1 - 0.5 * 0.25), name


def test_a_loss_that_is_no_number_ends_the_training(config: TrainingConfig):
    members = (dataclasses.replace(ONE.members[0], learning_rate=1e30),)
    broken = dataclasses.replace(config, members=members, checkpoints=())
    with pytest.raises(ValueError, match="loss of a is not finite at step"):
        train(broken, quiet=True)


@pytest.mark.slow
def test_members_train_as_they_do_alone(config: TrainingConfig):
    members = (
        ONE.members[0],
        Member(name="b", stream=Counting(seed=1), seed=3, learning_rate=0.01),
        dataclasses.replace(ONE.members[0], name="c", weight_decay=0.0),
    )
    short = dataclasses.replace(config, steps=6, checkpoints=())
    train(dataclasses.replace(short, members=members), quiet=True)
    for member in members:
        alone = dataclasses.replace(
            short, members=(member,), out=f"{config.out}-{member.name}"
        )
        train(alone, quiet=True)
        of_all = [json.loads(line) for line in _curve(short, member.name).splitlines()]
        of_one = [json.loads(line) for line in _curve(alone, member.name).splitlines()]
        for one, other in zip(of_all, of_one, strict=True):
            assert one == pytest.approx(other, rel=1e-6)
    assert _curve(short, "a") != _curve(short, "c")


def test_another_training_is_refused_in_the_same_folder(config: TrainingConfig):
    short = dataclasses.replace(config, steps=1, checkpoints=())
    train(short, quiet=True)
    with pytest.raises(ValueError, match="another beta1 .*beta1 was 0.9 and is 0.8"):
        train(dataclasses.replace(short, beta1=0.8), quiet=True)
    other = (dataclasses.replace(ONE.members[0], stream=Counting(seed=9)),)
    with pytest.raises(ValueError, match="another first_batch"):
        train(dataclasses.replace(short, members=other), quiet=True)


def test_log_spaced_steps_grow_by_equal_factors():
    assert log_spaced(64, per_doubling=1) == (0, 1, 2, 4, 8, 16, 32, 64)
    assert log_spaced(10) == (0, 1, 2, 3, 4, 6, 8, 10)
    assert log_spaced(100, per_doubling=1, first=10) == (0, 10, 20, 40, 80, 100)
