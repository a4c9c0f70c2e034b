"""A run card to write, and a command that must be refused before any work."""

import pathlib
from collections.abc import Callable

import pytest

from mcq_jax import cli
from mcq_jax.cli import commands
from mcq_jax.experiments import behaviour, opening
from tests.cli.cards import CONFIG, Card


@pytest.fixture
def card(tmp_path: pathlib.Path) -> Card:
    """Writes a run card, by default of a planted model, and returns its path."""

    def write(*, model="planted", questions="planted", **more) -> str:
        more |= dict(out=str(tmp_path / "run"))
        given = ", ".join(f"{name}={value!r}" for name, value in more.items())
        path = tmp_path / "card.py"
        path.write_text(CONFIG.format(model=model, questions=questions, more=given))
        return str(path)

    return write


@pytest.fixture
def refusal(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., str]:
    """Runs a command that must fail before any work, and returns what it says."""

    def works(*args, **kwargs):
        raise AssertionError("a prompt was run")

    monkeypatch.setattr(commands, "_enable_compilation_cache", lambda: None)
    monkeypatch.setattr(behaviour, "_ask", works)

    def refuse(*arguments: str) -> str:
        assert cli.main(list(arguments)) == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return refuse


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch):
    def load(*args, **kwargs):
        raise AssertionError("weights were read")

    monkeypatch.setattr(opening, "load", load)
