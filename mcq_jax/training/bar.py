"""What a person sees while a model trains: the loss, and the time that is left."""

import contextlib
import datetime
from collections.abc import Iterator

import numpy as np
import rich.console
import rich.progress

from mcq_jax import costs, sharding
from mcq_jax.training.config import TrainingConfig
from mcq_jax.training.stream import Batch

# Of a large product's rate; what a model of width 64 on a CPU was measured to reach.
_UTILISATION = 0.5


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

    def say_before(self, batch: Batch, parameters: int, step: int) -> None:
        """Says what there is to do and, coarsely, how long it will take."""
        config = self._config
        rows, time = batch.ids.shape
        left, members = config.steps - step, len(config.members)
        flops = flops_of_step(config, rows, time) * left * members
        if self._bars.console.quiet:
            return
        seconds = flops / (costs.flop_rate() * _UTILISATION)
        about = datetime.timedelta(seconds=round(seconds))
        self._bars.console.print(
            f"{members} × {parameters:,} parameters, {left:,} steps of {rows} × {time} "
            f"tokens ({left * rows * time:,} each), {flops / 1e12:.3g} TFLOP: about "
            f"{about}",
            highlight=False,
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


def flops_of_step(config: TrainingConfig, rows: int, time: int) -> float:
    """Returns the FLOPs of a step of one member: a gradient is three forward passes,
    or nearly four where layers are rematerialised."""
    layers = costs.prefill_flops(config.model, tokens=time)
    passes = 4 if config.rematerialise else 3
    return rows * (passes * layers + 3 * time * costs.unembed_flops(config.model))
