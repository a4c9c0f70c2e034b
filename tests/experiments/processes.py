"""`mcq-jax run` in processes of its own, as a user, a scheduler or a pod starts it."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from tests import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 300  # seconds


def start(card: pathlib.Path, *flags: str, devices: int = 1) -> subprocess.Popen:
    """Starts a run with so many pretended devices."""
    return subprocess.Popen(
        [sys.executable, "-m", "mcq_jax.cli", "run", str(card), *flags],
        cwd=ROOT,
        env={
            **os.environ,
            "XLA_FLAGS": programs.flags_for(devices),
            "JAX_PLATFORMS": "cpu",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_hosts(
    card: pathlib.Path, *flags: str, count: int, devices: int
) -> list[subprocess.Popen]:
    """Starts the processes of one run, joined over the loopback address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return [
        start(
            card, *flags, "--coordinator", f"127.0.0.1:{port}",
            "--processes", str(count), "--process", str(process), devices=devices,
        )
        for process in range(count)
    ]  # fmt: skip


def finish(hosts: Sequence[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Waits for all and returns exit code, output and errors of each."""
    try:
        said = [host.communicate(timeout=PATIENCE) for host in hosts]
    finally:
        stop(hosts)
    return [(h.returncode, *s) for h, s in zip(hosts, said, strict=True)]


def stop(hosts: Sequence[subprocess.Popen]) -> None:
    """Kills those that run still; their workers go with them."""
    for host in hosts:
        if host.poll() is None:
            host.kill()


def wait_until(happened: Callable[[], object], host: subprocess.Popen) -> None:
    """Waits while a process runs; it must not end before."""
    limit = time.monotonic() + PATIENCE
    while not happened():
        assert host.poll() is None and time.monotonic() < limit, host.communicate()
        time.sleep(0.05)


def wait_until_or_end(
    happened: Callable[[], object], hosts: Sequence[subprocess.Popen]
) -> bool:
    """Waits while the first process runs; returns whether it runs still."""
    limit = time.monotonic() + PATIENCE
    while hosts[0].poll() is None and not happened():
        if time.monotonic() > limit:
            stop(hosts)
            raise TimeoutError(f"nothing happened in {PATIENCE} s")
        time.sleep(0.01)
    return hosts[0].poll() is None


def worker_of(host: subprocess.Popen) -> int:
    """The process that does the work of a host, the child of the one started."""
    children = pathlib.Path(f"/proc/{host.pid}/task/{host.pid}/children")
    return int(children.read_text().split()[0])


def kill_worker(host: subprocess.Popen) -> None:
    os.kill(worker_of(host), signal.SIGKILL)
