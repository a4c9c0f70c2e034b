"""Runs `on_eight_devices.py` where there are eight devices: in its own process."""

import pathlib
import subprocess
import sys

import pytest


def _run(*which: str) -> None:
    file = pathlib.Path(__file__).with_name("on_eight_devices.py")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    run = subprocess.run([*command, *which, str(file)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_eight_devices_train_as_one_does():
    _run()


@pytest.mark.exhaustive
def test_they_do_where_only_data_is_split():
    _run("-m", "exhaustive")
