"""`spending`: measures what a stretch of work takes: time, programs, memory, FLOPs."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator

import jax

from mcq_jax import costs
from mcq_jax.model import ModelConfig, work
from mcq_jax.results import Spent

try:
    import resource
except ImportError:  # Windows
    resource = None

_COMPILED = "/jax/core/compile/backend_compile_duration"
_READ = "/jax/compilation_cache/cache_hits"


@contextlib.contextmanager
def spending(config: ModelConfig) -> Iterator[Callable[[], Spent]]:
    """Within it, the function that it gives tells what was spent since."""
    count = _listening()
    wall, cpu = time.perf_counter(), time.process_time()
    compiled, read, seconds = count.compiled, count.read, count.seconds

    def spent() -> Spent:
        done = counter.work
        run = done.prompts + done.rows
        return Spent(
            work=done,
            flops=costs.work_flops(config, run),
            full_pass_flops=costs.work_flops(config, done.as_full_passes),
            wall_seconds=time.perf_counter() - wall,
            cpu_seconds=time.process_time() - cpu,
            programs=(count.compiled - compiled) - (count.read - read),
            compile_seconds=count.seconds - seconds,
            peak_bytes=_peak_bytes(),
        )

    with work.counting() as counter:
        yield spent


class _Count:
    """What jax has told of programs since it was first asked."""

    def __init__(self):
        self.compiled, self.read, self.seconds = 0, 0, 0.0

    def note_duration(self, event: str, duration_secs: float, **_) -> None:
        if event == _COMPILED:
            self.compiled += 1
            self.seconds += duration_secs

    def note(self, event: str, **_) -> None:
        self.read += event == _READ


@functools.cache
def _listening() -> _Count:
    """The one count of this process: jax's listeners stay for good."""
    count = _Count()
    jax.monitoring.register_event_duration_secs_listener(count.note_duration)
    jax.monitoring.register_event_listener(count.note)
    return count


def _peak_bytes() -> float | None:
    stats = [device.memory_stats() for device in jax.local_devices()]
    told = [one["peak_bytes_in_use"] for one in stats if one]
    if told:
        return float(max(told))
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # what maxrss is counted in
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
