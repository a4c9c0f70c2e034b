"""`Placement`: on which devices models are trained, and how several are run at once.

One model lies on a mesh as it does everywhere here (`sharding.rules`), and its moments
with it. Several models are dealt out over the devices, and nothing is sent.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mcq_jax import sharding
from mcq_jax.model import Parameters
from mcq_jax.training.config import TrainingConfig
from mcq_jax.training.optimiser import TrainingState
from mcq_jax.training.stream import Batch

_MODELS = "models"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a training runs."""

    # ("data", "kv", "group") for one model, ("models",) for several; None: one device.
    mesh: Mesh | None
    fully_sharded: bool
    # Whether the models of a device run one after another, and not as a further axis:
    # on CPUs what one model touches stays in the cache.
    one_by_one: bool

    @property
    def row_parts(self) -> int:
        """Over how many devices the rows of a batch are split."""
        return dict(self.mesh.shape).get("data", 1) if self.mesh else 1

    def context(self) -> contextlib.AbstractContextManager:
        """Returns the context in which batches are placed and steps are run."""
        return sharding.use_mesh(self.mesh) if self.mesh else contextlib.nullcontext()

    def place_state(self, state: TrainingState) -> TrainingState:
        """Returns a state `[model, …]` on its devices."""
        if self.mesh is None:
            return jax.tree.map(jax.numpy.asarray, state)
        return sharding.place(state, self._shardings(state))

    def place_batches(self, batches: Batch) -> Batch:
        """Returns batches `[step, model, slice, row, time]` on their devices."""
        if self.mesh is None:
            return batches
        over = (None, _MODELS) if self._has_models else (None, None, None, "data")
        if batches.ids.shape[3] % self.row_parts:
            over = ()
        lies = NamedSharding(self.mesh, PartitionSpec(*over))
        return jax.tree.map(lambda a: sharding.place(a, lies), batches)

    def compiled(self, run: Callable) -> Any:
        """Returns `run` of `steps.compiled_steps` as a program of these devices."""
        if self.mesh is None:
            return jax.jit(run, donate_argnums=0)
        if self._has_models:
            models, later, all_ = (PartitionSpec(*axes) for axes in (
                (_MODELS,), (None, _MODELS), ()))  # fmt: skip
            shared = jax.shard_map(
                run,
                mesh=self.mesh,
                in_specs=(models, later, all_, all_, models),
                out_specs=(models, later),
                check_vma=False,
            )
            return jax.jit(shared, donate_argnums=0)

        def kept_in_place(state, *rest):
            new, losses = run(state, *rest)
            return jax.lax.with_sharding_constraint(new, self._shardings(new)), losses

        return jax.jit(kept_in_place, donate_argnums=0)

    @property
    def _has_models(self) -> bool:
        return self.mesh is not None and _MODELS in self.mesh.shape

    def _shardings(self, state: TrainingState) -> Any:
        """Moments lie as their weights do, a count of steps is everywhere."""
        mesh = self.mesh
        assert mesh is not None
        if self._has_models:
            of_all = NamedSharding(mesh, PartitionSpec(_MODELS))
            return jax.tree.map(lambda _: of_all, state)

        def of_part(part):
            if not _are_parameters(part):
                return NamedSharding(mesh, PartitionSpec())
            return sharding.parameter_shardings(
                part, mesh, fully_sharded=self.fully_sharded
            )

        return jax.tree.map(of_part, state, is_leaf=_are_parameters)


def placement(config: TrainingConfig) -> Placement:
    """Returns where a config asks to be trained."""
    if jax.process_count() > 1:
        raise ValueError(
            f"{jax.process_count()} processes: a training is one process with all its "
            "devices; give each process members of its own."
        )
    return Placement(
        mesh=_mesh(config),
        fully_sharded=config.fully_sharded,
        one_by_one=jax.default_backend() == "cpu",
    )


def _mesh(config: TrainingConfig) -> Mesh | None:
    devices, members = jax.devices(), len(config.members)
    if len(devices) == 1:
        return None
    if members == 1:
        shape = None if config.mesh == "auto" else config.mesh
        return sharding.make_mesh(config.model, shape)
    if config.mesh != "auto":
        raise ValueError(
            f"mesh is {config.mesh!r} for {members} members; several are dealt out "
            "over the devices, so leave it at auto."
        )
    used = next(n for n in range(len(devices), 0, -1) if members % n == 0)
    axes = (jax.sharding.AxisType.Auto,)
    return Mesh(np.array(devices[:used]), (_MODELS,), axis_types=axes)


def _are_parameters(part: Any) -> bool:
    return isinstance(part, Parameters)
