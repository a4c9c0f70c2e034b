"""Times contenders round-robin, so that a busy moment of the machine hits them all."""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of one contender, one per round."""

    seconds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The quietest round: on a shared machine the nearest to the machine's own."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.seconds) < 3:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


def use_cores(count: int) -> None:
    """Confines this process to so many cores; call it before jax and torch start.

    With one core, times are this process's own seconds on it (`race`), which other
    programs hardly change; with more, they are seconds on the wall.
    """
    os.environ["OMP_NUM_THREADS"] = str(count)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def race(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Runs every contender once to warm up, then once per round, in turn.

    A contender returns when its result is there (`jax.block_until_ready`).
    """
    is_alone = len(os.sched_getaffinity(0)) == 1
    clock = time.process_time if is_alone else time.perf_counter
    seconds = {name: [] for name in contenders}
    for round_ in range(rounds + 1):
        for name, run in contenders.items():
            begun = clock()
            run()
            if round_:
                seconds[name].append(clock() - begun)
    return {name: Times(each) for name, each in seconds.items()}
