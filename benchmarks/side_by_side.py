"""Times contenders round-robin, so that a busy moment of the machine hits them all.

Only what measures torch imports it.
"""

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np


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
            return math.nan
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


# Seconds until the threads of the contender before have gone to sleep: torch's spin for
# almost 10 ms after their work, on a core that the next one needs.
_REST = 0.05


def use_cores(count: int) -> None:
    """Confines this process to so many cores; call it before jax and torch compute.

    With one core, times are this process's own seconds on it (`race`), which other
    programs hardly change; with more, they are seconds on the wall.
    """
    import torch

    torch.set_num_threads(count)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def race(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    patience: float = math.inf,
) -> dict[str, Times]:
    """Runs every contender once to warm up, then once per round, in turn.

    What a contender returns is waited for (`jax.block_until_ready`). One that has
    run three rounds, and for more than `patience` seconds, sits out the others.
    """
    is_alone = len(os.sched_getaffinity(0)) == 1
    clock = time.process_time if is_alone else time.perf_counter
    seconds = {name: [] for name in contenders}
    for round_ in range(rounds + 1):
        for name, run in contenders.items():
            if len(seconds[name]) >= 3 and sum(seconds[name]) > patience:
                continue
            time.sleep(_REST)
            begun = clock()
            jax.block_until_ready(run())
            if round_:
                seconds[name].append(clock() - begun)
    return {name: Times(each) for name, each in seconds.items()}


def product_rate(rounds: int) -> dict[str, float]:
    """FLOP/s of a large float32 matrix product, jax's and torch's, at their best."""
    import torch

    size = 1536
    a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    ours, theirs = jnp.asarray(a), torch.from_numpy(a)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    contenders = {
        "jax": lambda: product(ours).block_until_ready(),
        "torch": lambda: theirs @ theirs,
    }
    times = race(contenders, rounds)
    return {name: 2 * size**3 / t.best for name, t in times.items()}


def read_rate(rounds: int) -> float:
    """Bytes per second of reading more than the caches hold, at best."""
    import torch

    a = torch.ones(2**28)  # 1 GiB
    return 4 * len(a) / race({"read": a.sum}, rounds)["read"].best
