"""`Launch`: a run, and the processes that share it, as a command line gives them."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

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
class Chosen:
    """Which of the card's experiments to run."""

    # Only these experiments, with what they need of others; all where left out.
    only: tuple[str, ...] = ()
    # Drop the tables and findings of these experiments first; those of others stay.
    again: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
    """What to ask of which model, and on how many hosts."""

    config: RunConfig
    chosen: Chosen
    hosts: Hosts


def read_launch(config: RunConfig, arguments: Sequence[str], *, prog: str) -> Launch:
    """Returns a card's run as the command line changes it.

    Each experiment of the card has its options under its own name, as in
    `--joint-tests.random-sets 20`; an experiment that the card does not list has none.
    """
    flat = tyro.conf.arg(name="")
    fields: list[Any] = [
        ("config", Annotated[RunConfig, flat], dataclasses.field(default=config)),
        ("chosen", Annotated[Chosen, flat], dataclasses.field(default=Chosen())),
        ("hosts", Annotated[Hosts, flat], dataclasses.field(default=Hosts())),
    ]
    options = [e for e in config.experiments if dataclasses.fields(e)]
    fields += [(e.name, type(e), dataclasses.field(default=e)) for e in options]
    asked = tyro.cli(
        dataclasses.make_dataclass("Launch", fields, frozen=True, kw_only=True),
        args=list(arguments),
        prog=prog,
        description=Launch.__doc__,
    )
    experiments = tuple(getattr(asked, e.name, e) for e in config.experiments)
    return Launch(
        config=dataclasses.replace(asked.config, experiments=experiments),
        chosen=asked.chosen,
        hosts=asked.hosts,
    )
