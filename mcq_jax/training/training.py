"""`train`: from a config to checkpoints and a curve, resumable at any moment."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax.results import remove_leftovers
from mcq_jax.training import optimiser, steps
from mcq_jax.training.bar import Bar
from mcq_jax.training.config import TrainingConfig, folder_of
from mcq_jax.training.initialisation import initialise
from mcq_jax.training.kept import MemberFolder
from mcq_jax.training.optimiser import TrainingState
from mcq_jax.training.placement import placement
from mcq_jax.training.stream import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """Where a finished training lies."""

    folder: pathlib.Path
    # By member: the folder of the last checkpoint.
    checkpoints: dict[str, pathlib.Path]


def train(config: TrainingConfig, *, quiet: bool = False) -> Trained:
    """Trains all members to the last step; a run that was stopped goes on.

    Every number is a function of the config: started again after a kill, the curve is
    the one that an undisturbed run writes, on the same devices bit for bit.

    Args:
        config: what to train.
        quiet: whether to print no progress.
    """
    return _Training(config, Bar(config, quiet=quiet)).run()


class _Training:
    """One call of `train`."""

    def __init__(self, config: TrainingConfig, bar: Bar):
        self._config, self._bar = config, bar
        root = pathlib.Path(folder_of(config)).expanduser()
        self._root = root
        self._folders = [MemberFolder(root / m.name, config, m) for m in config.members]
        self._rates = optimiser.rates_of(config.members)
        self._where = placement(config)
        self._run_steps = steps.compiled_steps(config, self._where)

    def run(self) -> Trained:
        for folder in self._folders:
            folder.check_identity()
        remove_leftovers(self._root)
        step, state, is_new = self._begin()
        for folder in self._folders:
            folder.cut_curve(-1 if is_new else step)
        if is_new:
            self._keep(step, state, is_first=True)
        parameters = sum(a[0].size for a in jax.tree.leaves(state.parameters))
        self._bar.say_before(self._batches(step)[0], parameters, step)
        with self._where.context(), self._bar.from_step(step):
            state = self._where.place_state(state)
            while step < self._config.steps:
                count = self._until_next_stop(step)
                state, losses = self._advance(state, step, count)
                self._write_losses(step, losses)
                step += count
                self._keep(step, state)
                self._bar.show(step, losses)
        return self._trained(state)

    def _begin(self) -> tuple[int, TrainingState, bool]:
        """The last step of which every member has a state, and those states.

        Last, whether there was none, so that this is the beginning.
        """
        fresh = [
            optimiser.start(
                initialise(
                    self._config.model,
                    jax.random.key(member.seed),
                    feedforward=self._config.feedforward_start,
                ),
                self._config,
            )
            for member in self._config.members
        ]
        common = set.intersection(*(folder.saved_steps() for folder in self._folders))
        common = {step for step in common if step <= self._config.steps}
        if common:
            return max(common), _read(self._folders, max(common), fresh), False
        branch = self._config.branch
        if branch is None:
            return 0, _stack(fresh), True
        root = pathlib.Path(branch.folder).expanduser()
        members = self._config.members
        trunks = [MemberFolder(root / m.name, self._config, m) for m in members]
        return branch.step, _read(trunks, branch.step, fresh), True

    def _until_next_stop(self, step: int) -> int:
        """How many steps to run before there is something to keep."""
        config = self._config
        stops = {config.steps, *config.kept_steps}
        stops.add((step // config.save_every + 1) * config.save_every)
        return min(min(s for s in stops if s > step) - step, config.steps_at_once)

    def _advance(self, state: TrainingState, step: int, count: int):
        batches = [self._batches(step + i) for i in range(count)]
        rows, time = batches[0][0].ids.shape
        at_once = steps.rows_at_once(
            self._config, rows, time, parts=self._where.row_parts
        )
        inputs = self._where.place_batches(
            steps.stacked(batches, at_once, self._config.steps_at_once)
        )
        state, losses = self._run_steps(
            state, inputs, jnp.int32(step), jnp.int32(count), self._rates
        )
        return state, np.asarray(losses)[:count]

    def _batches(self, step: int) -> list[Batch]:
        """Each member's batch; members of one stream share theirs."""
        made: dict[int, Batch] = {}
        for member in self._config.members:
            if id(member.stream) not in made:
                made[id(member.stream)] = _checked(member.stream.batch(step), step)
        return [made[id(member.stream)] for member in self._config.members]

    def _write_losses(self, step: int, losses: np.ndarray) -> None:
        for index, folder in enumerate(self._folders):
            of_member = losses[:, index].tolist()
            lines = [{"step": step + i, "loss": v} for i, v in enumerate(of_member, 1)]
            bad = [line["step"] for line in lines if not math.isfinite(line["loss"])]
            if bad:
                name = self._config.members[index].name
                raise ValueError(
                    f"the loss of {name} is not finite at step {bad[0]}; give a lower "
                    "learning rate, or a smaller largest_gradient, and another folder."
                )
            folder.add_to_curve(lines)

    def _keep(self, step: int, state: TrainingState, *, is_first=False) -> None:
        """Keeps what is to be kept after a step: checkpoints, measurements, states."""
        config = self._config
        is_kept = step in config.kept_steps
        if not is_kept and not is_first and step % config.save_every:
            return
        for index, (folder, member) in enumerate(
            zip(self._folders, config.members, strict=True)
        ):
            one = jax.tree.map(lambda a: a[index], state)  # noqa: B023
            if is_kept:
                folder.save_checkpoint(step, one)
                measured = config.evaluate and config.evaluate(one.parameters, member)
                if measured:
                    values = {name: float(value) for name, value in measured.items()}
                    folder.add_to_curve([{"step": step, **values}])
            folder.save_state(step, one)
        for folder in self._folders:
            folder.forget_states_before(step)

    def _trained(self, state: TrainingState) -> Trained:
        last = {}
        for index, (folder, member) in enumerate(
            zip(self._folders, self._config.members, strict=True)
        ):
            one = jax.tree.map(lambda a: a[index], state)  # noqa: B023
            last[member.name] = folder.save_checkpoint(self._config.steps, one)
        return Trained(folder=self._root, checkpoints=last)


def _read(folders: Sequence[MemberFolder], step: int, like: Sequence[Any]) -> Any:
    pairs = zip(folders, like, strict=True)
    return _stack([folder.read_state(step, one) for folder, one in pairs])


def _stack(states: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def _checked(batch: Batch, step: int) -> Batch:
    ids, weights = np.asarray(batch.ids), np.asarray(batch.weights)
    if ids.ndim != 2 or ids.shape != weights.shape or ids.shape[1] < 2:
        raise ValueError(
            f"the batch of step {step} has ids {ids.shape} and weights "
            f"{weights.shape}; give both as [row, time], with a time of at least 2."
        )
    if not weights[:, 1:].sum() > 0:
        raise ValueError(
            f"the weights of step {step} sum to {weights[:, 1:].sum()} behind each "
            "row's first token; give some tokens a weight above 0."
        )
    return Batch(ids, weights)
