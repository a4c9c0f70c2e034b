"""Runs and reports that are killed again and again: nothing is lost, nothing twice.

Each test is a chain: what one process left, the next one goes on with, until one comes
to its end. The clock is set back between them and runs backwards within them.
"""

import functools
import os
import pathlib
import random
import shutil
import signal
import subprocess

import pytest

from mcq_jax.results import RunResults, Storage
from tests.experiments import killed, processes
from tests.experiments.same_tables import assert_same_runs, files_of

pytestmark = pytest.mark.slow

CARD = """
from mcq_jax.experiments import Behaviour, JointTests, NodeEffects, RunConfig

def config():
    return RunConfig(
        title="Planted", model="planted", questions="planted", question_count=4,
        effect_questions=4, seed=1, batch=4,
        experiments=(Behaviour(), NodeEffects(), JointTests(random_sets=1)),
    )
"""

Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("card") / "card.py"
    path.write_text(CARD)
    return str(path)


@pytest.fixture(scope="module")
def whole(card: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a run that nobody killed, with its report."""
    out = tmp_path_factory.mktemp("whole") / "run"
    ended = killed.run_and_kill(None, out, "run", card, "--out", str(out))
    assert ended.returncode == 0, ended.stderr
    return out


@pytest.mark.parametrize(
    ("seed", "kills", "writes"),
    # A run writes some twenty files, its report ten more.
    [
        (3, 2, 16),
        *(pytest.param(s, 5, 12, marks=pytest.mark.exhaustive) for s in range(4)),
    ],
)
def test_a_run_killed_at_any_moment_comes_to_the_same_end(
    seed: int, kills: int, writes: int, card: str, whole, tmp_path: pathlib.Path
):
    out = tmp_path / "run"
    command = ("run", card, "--out", str(out))
    for moment in killed.moments(kills, seed=seed, writes=writes):
        before = _finished(out)
        ended = killed.run_and_kill(moment, out, *command)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        assert before.items() <= _finished(out).items(), moment
        _assert_readable(out)
        _date_into_the_future(out)
    before = _finished(out)
    ended = killed.run_and_kill(None, out, *command)
    assert ended.returncode == 0, ended.stderr
    assert before.items() <= _finished(out).items()
    assert_same_runs(out, whole)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(4))
def test_a_report_killed_at_any_moment_is_the_old_one_or_the_new_one(
    seed: int, whole: pathlib.Path, tmp_path: pathlib.Path
):
    out = shutil.copytree(whole, tmp_path / "run")
    page = out / "report.html"
    kept, drawn = _finished(out), page.read_text()
    page.write_text("the old one")
    for moment in killed.moments(5, seed=seed, writes=10):
        ended = killed.run_and_kill(moment, out, "report", str(out))
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        assert page.read_text() in ("the old one", drawn), moment
        _date_into_the_future(out)
    ended = killed.run_and_kill(None, out, "report", str(out))
    assert ended.returncode == 0, ended.stderr
    assert page.read_text() == drawn and _finished(out) == kept
    assert files_of(out) == files_of(whole)


@pytest.fixture(scope="module")
def whole_of_two(card: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("whole of two") / "run"
    ends = processes.finish(_two(card, out))
    assert not any(code for code, *_ in ends), ends
    return out


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(4))
def test_two_processes_killed_at_any_moment_come_to_the_same_end(
    seed: int, card: str, whole_of_two: pathlib.Path, tmp_path: pathlib.Path
):
    drawn = random.Random(seed)
    out = tmp_path / "run"
    for _ in range(5):
        before = _finished(out)
        wanted = len(files_of(out)) + drawn.randint(1, 10)
        hosts = _two(card, out)
        is_there = functools.partial(_has_files, out, wanted)
        if processes.wait_until_or_end(is_there, hosts):
            processes.kill_worker(hosts[drawn.randrange(2)])
        ends = processes.finish(hosts)
        assert {code for code, *_ in ends} <= {0, 1}, ends
        assert before.items() <= _finished(out).items()
        _assert_readable(out)
        _date_into_the_future(out)
    ends = processes.finish(_two(card, out))
    assert not any(code for code, *_ in ends), ends
    assert_same_runs(out, whole_of_two)


def _two(card: str, out: pathlib.Path) -> list[subprocess.Popen]:
    flags = ("--out", str(out), "--mesh", "data=2,model=1")
    return processes.start_hosts(pathlib.Path(card), *flags, count=2, devices=1)


def _has_files(out: pathlib.Path, count: int) -> bool:
    return len(files_of(out)) >= count


def _finished(out: pathlib.Path) -> Contents:
    """What is never to change again: parts of tables, and what was found."""
    paths = [*out.glob("tables/*/*/*.parquet"), *out.glob("findings/*.json")]
    kept = (path for path in paths if path.name != "run.json")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in kept}


def _assert_readable(out: pathlib.Path) -> None:
    """What is there opens, as `mcq-jax report` would open it."""
    if (out / "findings" / "run.json").exists():
        RunResults.read(Storage.at(out))


def _date_into_the_future(out: pathlib.Path) -> None:
    """As if the clock had been set back since."""
    for path in out.rglob("*"):
        os.utime(path, (4e9, 4e9))
