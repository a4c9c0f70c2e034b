"""Runs in processes of their own: on meshes, on many hosts, told to stop, killed."""

import pathlib
import time
from collections.abc import Callable

import pytest

from mcq_jax import supervising
from mcq_jax.experiments import Experiment, run
from mcq_jax.results import RunFolder, Storage
from tests.experiments import processes
from tests.experiments.runs import experiments, planted_config, quiet
from tests.experiments.same_tables import assert_same_tables

pytestmark = pytest.mark.slow

CARD = """
from mcq_jax.experiments import RunConfig
from tests.experiments.test_processes import listed

def config():
    return RunConfig(
        title="Planted", model="planted", questions="planted", question_count=4,
        effect_questions=4, seed=1, experiments=listed(), batch=4,
    )
"""


def listed() -> tuple[Experiment, ...]:
    """All but the one that takes longest."""
    return tuple(e for e in experiments() if e.name != "earlier_positions")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("card") / "card.py"
    path.write_text(CARD)
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The same run on one device, in this process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    run(planted_config(out, batch=4, experiments=listed()), quiet())
    return out


def _manifest(out: pathlib.Path) -> dict:
    return RunFolder(Storage.at(out)).manifest()


def _has_part(out: pathlib.Path, table: str, part: int) -> Callable[[], bool]:
    name = f"tables/{table}/*/part-{part:05d}.parquet"
    return lambda: any(out.glob(name))


@pytest.mark.exhaustive  # two processes end on a mesh below
@pytest.mark.parametrize(
    ("devices", "mesh"),
    # Chunks of 4 prompts: filled up from 4 to 6; the model in two.
    [(6, "data=6,model=1"), (8, "data=4,model=2")],
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


@pytest.mark.exhaustive
@pytest.mark.parametrize("mesh", ["data=2,model=2", "data=1,model=2"])
def test_a_run_of_two_processes_has_the_tables_of_one(
    mesh: str, card, alone, tmp_path: pathlib.Path
):
    """The model lies within each process; across both."""
    devices = 2 if mesh.startswith("data=2") else 1
    hosts = _two(card, tmp_path, mesh=mesh, devices=devices)
    _assert_is_run_of_two(processes.finish(hosts), tmp_path, *SAID, "asking")
    assert_same_tables(tmp_path, alone)


def _two(card, out: pathlib.Path, *, mesh: str = "data=2,model=1", devices: int = 1):
    # Two prompts at once: there are parts enough to be stopped in.
    flags = ("--out", str(out), "--mesh", mesh, "--batch", "2")
    return processes.start_hosts(card, *flags, count=2, devices=devices)


# The first process says it, and it alone.
SAID = ("planted circuit", "Report: ")


def _assert_is_run_of_two(ends, out: pathlib.Path, *says: str) -> None:
    """Both came to their end, and the first alone has spoken."""
    (_, said, errors), (_, other, _) = ends
    assert not any(code for code, *_ in ends), errors
    for ours in says:
        assert ours in said and ours not in other
    assert _manifest(out)["processes"] == 2


@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.exhaustive), 1])
def test_processes_stop_together_and_the_run_goes_on_with_other_ones(
    killed: int, card, alone, tmp_path: pathlib.Path
):
    """SIGTERM on one host, then SIGKILL of one, then to the end on another mesh."""
    hosts = _two(card, tmp_path)
    processes.wait_until(_has_part(tmp_path, "node_effects", 0), hosts[0])
    hosts[1].terminate()
    ends = processes.finish(hosts)
    assert [code for code, *_ in ends] == [143, 143], ends
    assert "the same command goes on from here" in ends[0][2]
    stopped = _times(tmp_path)

    parts = len(list(tmp_path.glob("tables/node_effects/*/*.parquet")))
    hosts = _two(card, tmp_path)
    processes.wait_until(_has_part(tmp_path, "node_effects", parts), hosts[0])
    processes.kill_worker(hosts[killed])
    start = time.monotonic()
    ends = processes.finish(hosts)
    assert time.monotonic() - start < 60
    assert [code for code, *_ in ends] == [1, 1]
    assert supervising.LOST in ends[1 - killed][2]
    assert "was killed" in ends[killed][2]
    assert not (tmp_path / "findings" / "node_effects.json").exists()

    before = _times(tmp_path)
    assert stopped.items() <= before.items()
    ends = processes.finish(_two(card, tmp_path, mesh="data=2,model=2", devices=2))
    _assert_is_run_of_two(ends, tmp_path, *SAID)
    assert before.items() <= _times(tmp_path).items()
    assert_same_tables(tmp_path, alone)


@pytest.mark.exhaustive
@pytest.mark.parametrize("count", [4, 1])
def test_another_number_of_processes_goes_on(
    count: int, card, alone, tmp_path: pathlib.Path
):
    hosts = _two(card, tmp_path)
    processes.wait_until(_has_part(tmp_path, "node_effects", 0), hosts[0])
    processes.kill_worker(hosts[1])
    assert [code for code, *_ in processes.finish(hosts)] == [1, 1]
    before = _times(tmp_path)
    flags = ("--out", str(tmp_path), "--mesh", "data=4,model=1", "--batch", "2")
    more = (
        [processes.start(card, *flags, devices=4)]
        if count == 1
        else processes.start_hosts(card, *flags, count=4, devices=1)
    )
    ends = processes.finish(more)
    assert not any(code for code, *_ in ends), ends[0][2]
    assert before.items() <= _times(tmp_path).items()
    assert_same_tables(tmp_path, alone)


def test_sigterm_finishes_the_part_in_hand_and_the_run_goes_on_later(
    card, alone, tmp_path: pathlib.Path
):
    host = processes.start(card, "--out", str(tmp_path))
    processes.wait_until(_has_part(tmp_path, "node_effects", 0), host)
    host.terminate()
    ((code, _, errors),) = processes.finish([host])
    assert code == 143
    assert "stopped; the same command goes on from here" in errors
    before = _times(tmp_path)
    assert before and not (tmp_path / "findings" / "joint_tests.json").exists()
    run(planted_config(tmp_path, batch=4, experiments=listed()), quiet())
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
