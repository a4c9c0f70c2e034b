"""Being told to stop: what is in hand is finished, and nothing new is begun.

Schedulers that take a machine back send SIGTERM some seconds before.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils


class Stopped(KeyboardInterrupt):
    """The run was told to stop and did so between two chunks of work."""


class _Asked:
    """Whether this process has been told to stop."""

    def __init__(self):
        self.to_stop = False


_asked = _Asked()


@contextlib.contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Inside, a first SIGTERM stops `run_chunks` after the chunks in hand.

    A second one, or ctrl-C, stops at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return

    def ask(*_):
        if _asked.to_stop:
            raise KeyboardInterrupt
        _asked.to_stop = True

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _asked.to_stop = False


def check_stop() -> None:
    """Raises `Stopped` on every host if any has been told to stop."""
    to_stop = np.array(_asked.to_stop)
    if jax.process_count() > 1:
        to_stop = multihost_utils.process_allgather(to_stop)
    if np.any(to_stop):
        raise Stopped
