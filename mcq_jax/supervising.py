"""A small parent for a process of several hosts, to say in words how it ended.

When a host is lost, jax ends the processes of the others from C++, where no Python can
speak any more.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

_SUPERVISED = "MCQ_JAX_SUPERVISED"

LOST = (
    "another host of this run was lost, and this one stopped with it. Finished parts "
    "are kept: start all hosts again, as many as you like, and the run goes on."
)

_KILLED = (
    "this host's process was killed (is there memory enough?), and the others stop "
    "with it. Finished parts are kept: start all hosts again."
)


def is_supervised() -> bool:
    """Whether this process is the child of `supervise`."""
    return _SUPERVISED in os.environ


def supervise(command: Sequence[str], *, name: str) -> int:
    """Runs a command as a child and returns its exit code.

    SIGTERM and ctrl-C are passed on. If the child dies of a signal, the parent says
    what that means, as `name`, and returns 1.
    """
    with _signals_for_the_child() as started:
        # The child reads its input until the parent is gone, and goes with it.
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env={**os.environ, _SUPERVISED: "1"},
            start_new_session=True,
        ) as child:
            started(child)
            code = child.wait()
    if code >= 0:
        return code
    died_of = signal.Signals(-code)
    if died_of is signal.SIGTERM:  # told to stop before it had begun
        return 128 + died_of
    why = LOST if died_of is signal.SIGABRT else _KILLED
    print(f"{name} ({died_of.name}): {why}", file=sys.stderr)
    return 1


@contextlib.contextmanager
def _signals_for_the_child() -> Iterator[Callable[[subprocess.Popen], None]]:
    """Within it, signals to this process are the child's, also those that come early.

    It gives the function that is told of the child once there is one.
    """
    early: list[int] = []
    send = early.append

    def pass_on(number, _):
        send(number)

    def started(child: subprocess.Popen) -> None:
        nonlocal send
        send = child.send_signal
        for number in early:
            send(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Ends this process when its supervising parent is gone, killed perhaps."""

    def wait():
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
