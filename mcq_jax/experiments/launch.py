"""`Launch`: a run, and the processes that share it, as a command line gives them."""

import dataclasses
from typing import Annotated

import tyro

from mcq_jax import sharding
from mcq_jax.experiments.config import RunConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hosts:
    """Which processes run together, one per host (on GPUs: one per GPU)."""

    # This command is started on many hosts, which find each other: TPU pods, Slurm,
    # GKE.
    many_hosts: bool = False
    # Where they do not: the first process's address as host:port, the same for all, …
    coordinator: str | None = None
    # … how many processes there are, …
    processes: int | None = None
    # … and which one this is, from 0.
    process: int | None = None

    def __post_init__(self):
        named = [self.coordinator, self.processes, self.process]
        if any(n is not None for n in named) and None in named:
            raise ValueError(
                "coordinator, processes and process go together; give all three, or "
                "only --many-hosts where hosts find each other."
            )

    @property
    def are_many(self) -> bool:
        return self.many_hosts or self.coordinator is not None

    def join(self) -> None:
        sharding.join_hosts(
            coordinator=self.coordinator,
            processes=self.processes,
            process=self.process,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
    """What to ask of which model, and on how many hosts."""

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    hosts: Annotated[Hosts, tyro.conf.arg(name="")] = Hosts()
