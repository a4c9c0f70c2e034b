"""Runs in processes of their own: on meshes, on many hosts, told to stop, killed."""

import pathlib
import time
from collections.abc import Callable

import pytest

from mcq_jax import supervising
from mcq_jax.experiments import run
from mcq_jax.results import RunFolder, Storage
from tests.experiments import processes
from tests.experiments.runs import planted_config, quiet
from tests.experiments.same_tables import assert_same_tables

pytestmark = pytest.mark.slow

CARD = """
from mcq_jax.experiments import RunConfig
from tests.experiments.runs import experiments

def config():
    return RunConfig(
        title="Planted", model="planted", questions="planted", question_count=4,
        effect_questions=4, seed=1, experiments=experiments(), batch=4,
    )
"""


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("card") / "card.py"
    path.write_text(CARD)
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The same run on one device, in this process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    run(planted_config(out, batch=4), quiet())
    return out


def _manifest(out: pathlib.Path) -> dict:
    return RunFolder(Storage.at(out)).manifest()


def _has_part(out: pathlib.Path, table: str, part: int) -> Callable[[], bool]:
    name = f"tables/{table}/*/part-{part:05d}.parquet"
    return lambda: any(out.glob(name))


@pytest.mark.parametrize(
    ("devices", "mesh"),
    # Chunks of 4 prompts: filled up from 4 to 6; the model in two.
    [
        pytest.param(6, "data=6,model=1", marks=pytest.mark.exhaustive),
        (8, "data=4,model=2"),
    ],
)
def test_a_run_on_a_mesh_has_the_tables_of_one_device(
    devices: int, mesh: str, card, alone, tmp_path: pathlib.Path
):
    host = processes.start(
        card, "--out", str(tmp_path), "--mesh", mesh, devices=devices
    )
    ((code, printed, errors),) = processes.finish([host])
    assert code == 0, errors
    assert "Report: " in printed
    assert _manifest(tmp_path)["mesh"] == mesh
    assert_same_tables(tmp_path, alone)


@pytest.mark.parametrize(
    ("count", "devices", "mesh"),
    # The model lies within each process; across both. Four are below.
    [
        (2, 2, "data=2,model=2"),
        pytest.param(2, 1, "data=1,model=2", marks=pytest.mark.exhaustive),
    ],
)
def test_a_run_of_many_processes_has_the_tables_of_one(
    count: int, devices: int, mesh: str, card, alone, tmp_path: pathlib.Path
):
    flags = ("--out", str(tmp_path), "--mesh", mesh)
    hosts = processes.start_hosts(card, *flags, count=count, devices=devices)
    first, *others = processes.finish(hosts)
    assert not any(code for code, *_ in (first, *others)), first[2]
    for ours in ("planted circuit", "the gold letter", "Report: ", "asking"):
        assert ours in first[1]
        assert not any(ours in said for _, said, _ in others)
    assert _manifest(tmp_path)["processes"] == count
    assert_same_tables(tmp_path, alone)


@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.exhaustive), 1])
def test_when_a_process_is_killed_the_others_stop_and_another_number_goes_on(
    killed: int, card, alone, tmp_path: pathlib.Path
):
    flags = ("--out", str(tmp_path), "--mesh", "data=2,model=1")
    hosts = processes.start_hosts(card, *flags, count=2, devices=1)
    processes.wait_until(_has_part(tmp_path, "node_effects", 1), hosts[0])
    processes.kill_worker(hosts[killed])
    start = time.monotonic()
    ends = processes.finish(hosts)
    assert time.monotonic() - start < 60
    assert [code for code, *_ in ends] == [1, 1]
    assert supervising.LOST in ends[1 - killed][2]
    assert "was killed" in ends[killed][2]
    assert not (tmp_path / "findings" / "node_effects.json").exists()

    before = _times(tmp_path)
    flags = ("--out", str(tmp_path), "--mesh", "data=4,model=1")
    more = (
        processes.start_hosts(card, *flags, count=4, devices=1)
        if killed
        else [processes.start(card, *flags, devices=4)]
    )
    ends = processes.finish(more)
    assert not any(code for code, *_ in ends), ends[0][2]
    assert before.items() <= _times(tmp_path).items()
    assert_same_tables(tmp_path, alone)


def test_sigterm_on_one_host_stops_all_behind_the_part_in_hand(
    card, tmp_path: pathlib.Path
):
    flags = ("--out", str(tmp_path), "--mesh", "data=2,model=1")
    hosts = processes.start_hosts(card, *flags, count=2, devices=1)
    processes.wait_until(_has_part(tmp_path, "node_effects", 0), hosts[0])
    hosts[1].terminate()
    ends = processes.finish(hosts)
    assert [code for code, *_ in ends] == [143, 143], ends
    assert "the same command goes on from here" in ends[0][2]


def test_sigterm_finishes_the_part_in_hand_and_the_run_goes_on_later(
    card, alone, tmp_path: pathlib.Path
):
    flags = ("--out", str(tmp_path))
    host = processes.start(card, *flags)
    processes.wait_until(_has_part(tmp_path, "node_effects", 0), host)
    host.terminate()
    ((code, _, errors),) = processes.finish([host])
    assert code == 143
    assert "stopped; the same command goes on from here" in errors
    before = _times(tmp_path)
    assert before and not (tmp_path / "findings" / "joint_tests.json").exists()
    ((code, _, errors),) = processes.finish([processes.start(card, *flags)])
    assert code == 0, errors
    assert before.items() <= _times(tmp_path).items()
    assert_same_tables(tmp_path, alone)


def _times(out: pathlib.Path) -> dict[pathlib.Path, int]:
    """When each part was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("tables/*/*/*.parquet")}


def test_a_worker_goes_when_its_supervisor_is_killed(card, tmp_path: pathlib.Path):
    (host,) = processes.start_hosts(card, "--out", str(tmp_path), count=1, devices=1)
    processes.wait_until(_has_part(tmp_path, "behaviour", 0), host)
    worker = processes.worker_of(host)
    host.kill()
    host.communicate()
    limit = time.monotonic() + 10
    while _runs(worker):
        assert time.monotonic() < limit
        time.sleep(0.1)


def _runs(process: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{process}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False
    return state != "Z"
