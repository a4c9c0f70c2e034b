"""Compiled programs of the tests: shared by all their processes, forgotten when many.

Compiling is most of what the tests take. A folder of compiled programs that is empty at
their start lets each program be compiled once, whichever worker or child process asks
for it first. Where jax lets us choose, operations are joined in the older way, which
compiles in half the time. With MCQ_TESTS_AS_USERS set programs are those of users.
"""

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import pathlib
import platform
import resource
import shutil
import tempfile

# What jax reads when it is imported; it skips quick compilations and small programs by
# default, which ours are.
_SETTINGS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
_FOLDER = "JAX_COMPILATION_CACHE_DIR"
# Operations are joined in an older way. Known to some versions alone, and an unknown
# flag ends the process.
_OF_VERSION = {"0.10": "--xla_cpu_use_fusion_emitters=false"}
# Nothing is optimised. A product and a sum would then be one instruction in one program
# and two in another, and round otherwise, if the processor had such an instruction.
_UNOPTIMISED = "--xla_backend_optimization_level=0 --xla_cpu_max_isa=AVX"
# Linux gives a process 65,530 stretches of memory; a compiled program takes some, and
# a process that has none left crashes.
_MANY_STRETCHES = 25_000
_MUCH_MEMORY = 1.5e9  # bytes; a test may take another billion
# So much more than was left the last time, where that was much.
_GROWTH = 0.3e9

_made: list[str] = []
# Bytes in use each time that programs had been forgotten.
_left: list[float] = [0.0]


def share() -> None:
    """Gives this process and its children a folder of programs, if they have none."""
    if _FOLDER not in os.environ:
        _made.append(tempfile.mkdtemp(prefix="mcq-jax-programs-"))
        os.environ[_FOLDER] = _made[0]
    os.environ.update(_SETTINGS)
    if not os.environ.get("MCQ_TESTS_AS_USERS"):
        os.environ["XLA_FLAGS"] = _quick(os.environ.get("XLA_FLAGS", ""))


def _quick(flags: str) -> str:
    """The same flags, and those that compile in less than half the time."""
    version = importlib.metadata.version("jaxlib").rpartition(".")[0]
    more = [_OF_VERSION.get(version, "")]
    # A processor that was asked for is the one that is to be compiled for.
    if platform.machine() == "x86_64" and "--xla_cpu_max_isa" not in flags:
        more.append(_UNOPTIMISED)
    return " ".join([flags, *(flag for flag in more if flag not in flags)]).strip()


def flags_for(devices: int) -> str:
    """XLA_FLAGS of a child process that pretends to have so many devices."""
    pretended = f"--xla_force_host_platform_device_count={devices}"
    return f"{os.environ.get('XLA_FLAGS', '')} {pretended}".strip()


def stop_sharing() -> None:
    """Removes the folder, if this process made it."""
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)


def forget_if_many() -> None:
    """Gives memory back; what is needed again comes from the shared folder."""
    if _stretches() >= _MANY_STRETCHES:
        _forget()
    forget_if_large()


def forget_if_large() -> None:
    """The same by memory alone, which is quickly asked: after each test."""
    if _resident_bytes() >= max(_MUCH_MEMORY, _left[-1] + _GROWTH):
        _forget()
        _left.append(_resident_bytes())


def _forget() -> None:
    import jax

    jax.clear_caches()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def peak_bytes() -> float:
    """The most memory that this process had, in bytes."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _stretches() -> int:
    maps = pathlib.Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


def _resident_bytes() -> int:
    statm = pathlib.Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[1]) * resource.getpagesize()
