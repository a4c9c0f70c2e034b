"""What a log hears from long work."""

import io
import itertools
import os
import signal

import pytest
import rich.console

from mcq_jax import sharding
from mcq_jax.experiments import progress
from mcq_jax.experiments.lab import Lab
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


def test_a_log_hears_of_work_within_other_work_only_where_it_takes_a_minute(
    monkeypatch: pytest.MonkeyPatch,
):
    now = 0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    file = io.StringIO()
    shown = Progress(rich.console.Console(file=file))
    for seconds in shown.track((1, 40), "subspaces"):
        for _ in shown.track("abc", "steps"):
            now += seconds
    assert file.getvalue().splitlines() == [
        "  steps: 2 of 3, 40 seconds left",
        "  steps: all 3 in 2 minutes",
        "  subspaces: all 2 in 2 minutes",
    ]


def test_a_terminal_has_a_bar():
    file = io.StringIO()
    shown = Progress(rich.console.Console(file=file, force_terminal=True))
    for name in ("patching", "testing"):  # one after the other
        assert list(shown.track("ab", name)) == ["a", "b"]
        assert name in file.getvalue()
    assert file.getvalue().count("2/2") >= 2 and "patching: " not in file.getvalue()


def test_a_terminal_has_a_bar_within_a_bar_that_is_gone_when_full():
    file = io.StringIO()
    shown = Progress(rich.console.Console(file=file, force_terminal=True))
    for _ in shown.track("ab", "subspaces"):
        for _ in shown.track("xyz", "steps"):
            shown.refresh()
    assert "steps" in file.getvalue()
    *_, last = file.getvalue().split("subspaces")
    assert "2/2" in last and "steps" not in last


def test_a_bar_that_was_left_before_its_end_does_not_hold_up_the_next():
    file = io.StringIO()
    shown = Progress(rich.console.Console(file=file, force_terminal=True))
    with pytest.raises(ZeroDivisionError):
        for _ in shown.track("ab", "patching"):
            raise ZeroDivisionError
    assert list(shown.track("ab", "testing")) == ["a", "b"]
    *_, last = file.getvalue().split("testing")
    assert "2/2" in last and "patching" not in last


def test_a_long_part_is_left_between_two_steps_when_told_to_stop():
    lab = Lab.__new__(Lab)
    lab.progress = Progress(rich.console.Console(file=io.StringIO()))
    done = []
    with pytest.raises(sharding.Stopped), sharding.stopping_on_sigterm():
        for step in lab.steps("learning")(range(3)):
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(step)
    assert done == [0]
    assert list(lab.steps("learning")(range(3))) == [0, 1, 2]
