"""What a person sees while a run works: estimates before, bars during, times after."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import rich.console
import rich.progress

from mcq_jax import sharding

Item = TypeVar("Item")


class Progress:
    """Bars on the console and seconds per stage."""

    def __init__(self, console: rich.console.Console | None = None):
        # Of several hosts only the first one prints.
        self.console = console or rich.console.Console(
            quiet=not sharding.is_first_host()
        )
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the seconds of a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def track(self, items: Sequence[Item], name: str) -> Iterable[Item]:
        """Iterates with a bar that shows the time left."""
        columns = (
            rich.progress.TextColumn("  {task.description:<28}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
        )
        with rich.progress.Progress(*columns, console=self.console) as bars:
            yield from bars.track(items, description=name)


def duration(seconds: float) -> str:
    """Returns seconds in words a person plans by."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
