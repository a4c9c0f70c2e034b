"""`mcq-jax` as a process that kills itself at a chosen moment of writing its folder.

    python -m tests.experiments.killed '{"write": 3, "when": "torn"}' FOLDER ARGUMENTS…

It is the command as it stands: an audit hook of the interpreter sees each file of the
folder renamed into its place, and sends SIGKILL at the moment that was asked for. The
clock runs backwards meanwhile.
"""

import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Half the file is written; all of it, under its other name; all of it, in its place.
IN_A_WRITE = ("torn", "written", "behind")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moment:
    """When a process is killed: at its n-th write, from 1, or so long behind it."""

    write: int
    when: str = "later"
    seconds: float = 0.0


def moments(count: int, *, seed: int, writes: int) -> list[Moment]:
    """Draws moments: most are within a write, the rest up to a second behind one."""
    drawn = random.Random(seed)
    kinds = (*IN_A_WRITE, "later")
    return [
        Moment(
            write=drawn.randint(1, writes),
            when=drawn.choice(kinds),
            seconds=round(drawn.random(), 2),
        )
        for _ in range(count)
    ]


def run_and_kill(
    moment: Moment | None, folder: pathlib.Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs `mcq-jax` with these arguments until the moment, or to its end."""
    asked = json.dumps(moment and dataclasses.asdict(moment))
    return subprocess.run(
        [sys.executable, "-m", __name__, asked, str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _kill() -> None:
    signal.raise_signal(signal.SIGKILL)


def _kill_at(moment: Moment, folder: str) -> None:
    """Arranges for the end of this process."""
    seen = 0
    moving = ""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen, moving
        if moving and not os.path.exists(moving):
            _kill()
        if event != "os.rename" or not str(arguments[1]).startswith(folder):
            return
        seen += 1
        if seen != moment.write:
            return
        source = str(arguments[0])
        if moment.when == "later":
            threading.Timer(moment.seconds, _kill).start()
        elif moment.when == "behind":
            moving = source  # this event comes before the renaming, a later one after
        else:
            if moment.when == "torn":
                os.truncate(source, os.path.getsize(source) // 2)
            _kill()

    sys.addaudithook(watch)


def _turn_the_clock_back() -> None:
    """Lets each look at the clock be earlier than the one before."""
    start, seen = time.time(), iter(range(10**9))
    time.time = lambda: start - 3600 * next(seen)


def main() -> int:
    asked, folder, *arguments = sys.argv[1:]
    moment = json.loads(asked)
    if moment is not None:
        _kill_at(Moment(**moment), folder)
    from mcq_jax import cli

    _turn_the_clock_back()
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
