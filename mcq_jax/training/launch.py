"""A training as a command line gives it: which members, in how many processes.

On CPUs models are trained fastest by one process per core, each bound to its own: what
one step touches stays in that core's cache, and nothing is split (benchmarks).
"""

import contextlib
import dataclasses
import os
import subprocess
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated

import jax
import tyro

from mcq_jax.training.config import TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which of the card's members to train, and how."""

    # Only these members; all where left out.
    only: tuple[str, ...] = ()
    # In so many processes at once, each with its own members; where left out one per
    # core on CPUs, else one.
    processes: int | None = None
    # Print no progress.
    quiet: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
    """What to train."""

    config: Annotated[TrainingConfig, tyro.conf.arg(name="")]
    chosen: Annotated[Chosen, tyro.conf.arg(name="")]


def read_launch(
    config: TrainingConfig, arguments: Sequence[str], *, prog: str
) -> Launch:
    """Returns a card's training as the command line changes it."""
    fields = [
        (
            name,
            Annotated[kind, tyro.conf.arg(name="")],
            dataclasses.field(default=kind()),
        )
        for name, kind in (("settings", _settings(config)), ("chosen", Chosen))
    ]
    given = tyro.cli(
        dataclasses.make_dataclass("Launch", fields, frozen=True, kw_only=True),
        args=list(arguments),
        prog=prog,
        description=Launch.__doc__,
    )
    settings = given.settings
    changed = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    asked = Launch(config=dataclasses.replace(config, **changed), chosen=given.chosen)
    only = asked.chosen.only
    known = [member.name for member in config.members]
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise ValueError(
            f"no member {', '.join(unknown)}; there are {', '.join(known)}."
        )
    members = tuple(m for m in config.members if m.name in only or not only)
    return dataclasses.replace(
        asked, config=dataclasses.replace(asked.config, members=members)
    )


def _settings(config: TrainingConfig) -> type:
    """What a command line can change: not the model, the members and functions."""
    hints = typing.get_type_hints(TrainingConfig, include_extras=True)
    fields = [
        (f.name, hints[f.name], dataclasses.field(default=getattr(config, f.name)))
        for f in dataclasses.fields(config)
        if tyro.conf.Suppress not in getattr(hints[f.name], "__metadata__", ())
    ]
    return dataclasses.make_dataclass("Settings", fields, frozen=True, kw_only=True)


def shares(launch: Launch) -> list[tuple[str, ...]]:
    """Returns the names of the members of each process."""
    names, asked = [m.name for m in launch.config.members], launch.chosen.processes
    if asked is not None and asked < 1:
        raise ValueError(f"{asked} processes; give at least 1.")
    if asked is None:
        asked = len(_cores()) if jax.default_backend() == "cpu" else 1
    count = min(asked, len(names))
    return [tuple(names[index::count]) for index in range(count)]


def run_in_processes(commands: Sequence[Sequence[str]]) -> int:
    """Runs commands side by side, each on cores of its own; the worst exit code."""
    cores = _cores()
    running = []
    for index, command in enumerate(commands):
        with _on_cores(cores[index :: len(commands)]):
            running.append(subprocess.Popen(command))
    try:
        return max(process.wait() for process in running)
    except KeyboardInterrupt:
        for process in running:  # they were interrupted as well
            process.wait()
        raise


def _cores() -> list[int]:
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    return sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def _on_cores(cores: Sequence[int]) -> Iterator[None]:
    """What is started within it runs on these cores only, where a system can say so."""
    if not hasattr(os, "sched_setaffinity") or not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
