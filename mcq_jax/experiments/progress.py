"""What a person sees while a run works: estimates before, bars during, times after."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import rich.console
import rich.progress

from mcq_jax import sharding

Item = TypeVar("Item")

# Where nobody watches, a log hears from long work as often as this, in seconds.
_LINE_EVERY = 60.0


class Progress:
    """Bars on the console and seconds per stage."""

    def __init__(self, console: rich.console.Console | None = None):
        # Of several hosts only the first one prints.
        self.console = console or rich.console.Console(
            quiet=not sharding.is_first_host()
        )
        self.seconds: dict[str, float] = {}
        # Of work that is tracked within other work.
        self._depth = 0
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("  {task.description:<28}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
            console=self.console,
        )

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

    def refresh(self) -> None:
        """Draws the bars as they are now, not a tenth of a second later."""
        self._bars.refresh()

    def track(self, items: Sequence[Item], name: str) -> Iterable[Item]:
        """Iterates with a bar that shows the time left; in a log, lines of the same.

        Within another bar it is a second one, gone when it is full; a log hears of it
        only if it takes a minute.
        """
        is_watched = self.console.is_terminal or self.console.is_jupyter
        self._depth += 1
        try:
            yield from self._bar(items, name) if is_watched else self._log(items, name)
        finally:
            self._depth -= 1

    def _bar(self, items: Sequence[Item], name: str) -> Iterable[Item]:
        is_outermost = self._depth == 1
        task = self._bars.add_task(name, total=len(items))
        if is_outermost:
            self._bars.start()
        try:
            for item in items:
                yield item
                self._bars.advance(task)
        finally:
            if is_outermost:
                self._bars.stop()
            self._bars.remove_task(task)

    def _log(self, items: Sequence[Item], name: str) -> Iterable[Item]:
        is_outermost = self._depth == 1
        start = said = time.perf_counter()
        for done, item in enumerate(items, 1):
            yield item
            now = time.perf_counter()
            spent = now - start
            if done == len(items):
                if is_outermost or said > start:
                    self.say(f"  {name}: all {done} in {duration(spent)}")
            elif now - said >= _LINE_EVERY:
                left = duration(spent / done * (len(items) - done))
                self.say(f"  {name}: {done} of {len(items)}, {left} left")
                said = now


def duration(seconds: float) -> str:
    """Returns seconds in words a person plans by."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
