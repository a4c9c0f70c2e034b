"""Broken and hostile checkpoints end in a clear refusal or in the right numbers."""

import collections
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_broken_checkpoints_are_refused_or_give_the_stored_numbers(tmp_path):
    command = [sys.executable, "-m", "tests.checkpoints.try_mutants", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    lines = [line.split("\t", 1) for line in done.stdout.splitlines()]
    # If the process died, the mutant after the last line did it.
    assert done.returncode == 0, (lines[-1:], done.stderr[-2000:])
    wrong = [line for line in lines if line[0] not in ("refused", "right")]
    assert not wrong, "\n".join(f"{name}: {said}" for said, name in wrong[:20])
    counts = collections.Counter(said for said, _ in lines)
    assert counts["refused"] >= 500 and counts["right"] >= 50, counts
