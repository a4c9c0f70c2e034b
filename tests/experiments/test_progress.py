"""What a log hears from long work."""

import io
import itertools

import pytest
import rich.console

from mcq_jax.experiments import progress
from mcq_jax.experiments.progress import Progress


def test_a_log_hears_once_a_minute_how_much_is_left(monkeypatch: pytest.MonkeyPatch):
    clock = itertools.count(0, 25)  # every look at it is 25 seconds later
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    file = io.StringIO()
    shown = Progress(rich.console.Console(file=file))
    assert list(shown.track("abcdefg", "patching")) == list("abcdefg")
    assert file.getvalue().splitlines() == [
        "  patching: 3 of 7, 2 minutes left",
        "  patching: 6 of 7, 25 seconds left",
        "  patching: all 7 in 3 minutes",
    ]


def test_a_terminal_has_a_bar():
    file = io.StringIO()
    shown = Progress(rich.console.Console(file=file, force_terminal=True))
    assert list(shown.track("ab", "patching")) == ["a", "b"]
    assert "2/2" in file.getvalue() and "patching: " not in file.getvalue()
