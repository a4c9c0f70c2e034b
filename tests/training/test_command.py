"""`mcq-jax train`: killed and started again, in one process or in several."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from mcq_jax import cli
from mcq_jax.cli import commands

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARD = str(pathlib.Path(__file__).with_name("card.py"))


def _train(out: pathlib.Path, *arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "mcq_jax.cli", "train", CARD, "--out", str(out)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def _files(out: pathlib.Path) -> dict[str, bytes]:
    """All that a training leaves."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path: pathlib.Path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    code = _train(killed, "--processes", "1", KILLED_AT="6")
    assert code == -signal.SIGKILL
    assert not (killed / "a/checkpoints/step-00000012").exists()
    assert _train(killed, "--processes", "1") == 0
    assert _train(whole, "--processes", "1") == 0
    found = _files(killed)
    assert found == _files(whole)
    assert "a/checkpoints/step-00000012/model.safetensors" in found
    assert "b/states/step-00000004.safetensors" in found


@pytest.mark.slow
def test_processes_train_their_own_members(tmp_path: pathlib.Path):
    assert _train(tmp_path / "run", "--steps", "5", "--processes", "2") == 0
    curves = {m: (tmp_path / "run" / m / "curve.jsonl").read_text() for m in "ab"}
    assert all(curve.count("\n") == 5 for curve in curves.values())


def test_one_member_can_be_chosen(tmp_path: pathlib.Path, monkeypatch, capsys):
    trained = []
    monkeypatch.setattr(commands, "_enable_compilation_cache", lambda: None)
    monkeypatch.setattr("mcq_jax.training.train", lambda c, quiet: trained.append(c) or
                        type("Trained", (), {"checkpoints": {}}))  # fmt: skip
    assert cli.main(["train", CARD, "--only", "b", "--steps", "9", "--quiet"]) == 0
    assert [member.name for member in trained[0].members] == ["b"]
    assert trained[0].steps == 9
    assert cli.main(["train", CARD, "--only", "c"]) == 1
    assert "no member c; there are a, b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--precision", "float8"], "there are float32, bfloat16"),
        (["--steps", "3"], r"checkpoints at [4]"),
        (["--decay-from", "12"], "give a step before the last"),
    ],
)
def test_senseless_overrides_are_refused(arguments: list[str], said: str, capsys):
    assert cli.main(["train", CARD, *arguments]) == 1
    assert said in capsys.readouterr().err
