"""A parent says how its child ended, and passes signals on."""

import os
import signal
import subprocess
import sys

import pytest

from mcq_jax import supervising


def _supervise(code: str) -> int:
    return supervising.supervise([sys.executable, "-c", code], name="a run")


@pytest.mark.parametrize("code", [0, 1, 143])
def test_exit_codes_are_passed_up(code: int):
    assert _supervise(f"raise SystemExit({code})") == code


@pytest.mark.parametrize(
    ("number", "said"), [("SIGABRT", supervising.LOST), ("SIGKILL", "was killed")]
)
def test_a_child_that_dies_of_a_signal_is_explained(number: str, said: str, capsys):
    code = f"import os, signal; os.kill(os.getpid(), signal.{number})"
    assert _supervise(code) == 1
    found = capsys.readouterr().err
    assert f"a run ({number}): " in found and said in found


def test_a_child_told_to_stop_before_it_listens_was_just_told_to_stop(capsys):
    told = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert _supervise(told) == 143
    assert not capsys.readouterr().err


def test_sigterm_is_passed_on_to_the_child():
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    told = "os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    answer = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    assert _supervise(f"import os, signal, sys, time; {answer}; {told}") == 7
    assert handlers == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]


def test_sigterm_while_the_child_starts_is_passed_on_too(monkeypatch):
    start = subprocess.Popen

    def start_and_be_told(*arguments, **options):
        child = start(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)  # before anyone knows of the child
        return child

    monkeypatch.setattr(subprocess, "Popen", start_and_be_told)
    assert _supervise("import time; time.sleep(60)") == 143


def test_a_child_knows_that_it_is_one():
    asked = "from mcq_jax.supervising import is_supervised; "
    assert _supervise(asked + "raise SystemExit(3 * is_supervised())") == 3
    assert not supervising.is_supervised()


def test_a_child_goes_when_its_parent_closes_its_input():
    wait = (
        "import os, time; from mcq_jax.supervising import end_with_parent; "
        "reader, writer = os.pipe(); os.dup2(reader, 0); end_with_parent(); "
        "os.close(writer); time.sleep(60)"
    )
    assert _supervise(wait) == 1


def test_the_environment_stays_as_it_was():
    before = dict(os.environ)
    _supervise("pass")
    assert dict(os.environ) == before
