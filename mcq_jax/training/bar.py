"""What a person sees while a model trains: the loss, and the time that is left."""

import contextlib
from collections.abc import Iterator

import numpy as np
import rich.console
import rich.progress

from mcq_jax import sharding
from mcq_jax.training.config import TrainingConfig


class Bar:
    """A bar over the steps of one training."""

    def __init__(self, config: TrainingConfig, *, quiet: bool):
        quiet = quiet or not sharding.is_first_host()
        self._config = config
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("  {task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("steps, loss {task.fields[loss]}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=rich.console.Console(quiet=quiet),
        )

    @contextlib.contextmanager
    def from_step(self, step: int) -> Iterator[None]:
        """Shows the bar; earlier steps count for nothing in the time that is left."""
        with self._bars:
            self._task = self._bars.add_task(
                self._config.title, total=self._config.steps, completed=step, loss="…"
            )
            yield

    def show(self, step: int, losses: np.ndarray) -> None:
        """Moves on to a step; of several members the losses' range is shown."""
        last = losses[-1]
        text = f"{last.min():.3f}"
        text += f" to {last.max():.3f}" if len(last) > 1 else ""
        self._bars.update(self._task, completed=step, loss=text)
