"""Broken and hostile checkpoints end in a clear refusal or in the right numbers."""

import collections
import os
import pathlib
import subprocess
import sys

import pytest

from tests.checkpoints import mutants

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "refused", "right"),
    # Every seventh of some thousand: no kind of them repeats after as many.
    [("1/7", 60, 6), pytest.param("1/1", 500, 50, marks=pytest.mark.exhaustive)],
)
def test_broken_checkpoints_are_refused_or_give_the_stored_numbers(
    part: str, refused: int, right: int, tmp_path: pathlib.Path
):
    command = [sys.executable, "-m", "tests.checkpoints.try_mutants", tmp_path, part]
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
    assert counts["refused"] >= refused and counts["right"] >= right, counts
    # Every file was broken.
    names = [name for _, name in lines]
    for source, file in mutants.FILES:
        assert sum(name.startswith(f"{source}/{file}: ") for name in names) > 5
