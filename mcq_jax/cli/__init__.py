"""The command line: `mcq-jax run CONFIG [overrides]`, `mcq-jax report RUN`, …."""

import importlib.metadata
import os
import re
import sys
import traceback

from mcq_jax import supervising
from mcq_jax.cli import commands, options, usage

__all__ = ["main"]

_COMMANDS = {
    "run": commands.run,
    "plan": commands.plan,
    "train": commands.train,
    "report": commands.report,
    "compare": commands.compare,
}

_SMALLER = (
    "use a smaller --batch, leave out long prompts (--longest-prompt), or use a larger "
    "machine. Finished parts are kept."
)


# 128 and the signal, as shells say it.
_TERMINATED, _CLOSED_PIPE, _INTERRUPTED = 143, 141, 130


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    try:
        try:
            return _supervised(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # Python writes what is left when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE


def _reader_is_gone() -> bool:
    """Whether what is printed goes to a pipe that was closed, as by `| head`."""
    try:
        print(flush=True)  # another pipe may have broken: that of a bucket, say
    except BrokenPipeError:
        return True
    return False


def _supervised(arguments: list[str] | None) -> int:
    if not supervising.is_supervised():
        return _main(arguments)
    try:
        code = _main(arguments)
    except BaseException:
        traceback.print_exc()
        code = 1
    if code not in (0, _TERMINATED):
        # Leaving in order would wait for the other hosts, and they for this one.
        os._exit(code)
    return code


def _main(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage.USAGE)
        return 0
    command, *rest = arguments
    if command == "--version":
        print(f"mcq-jax {importlib.metadata.version('mcq-jax')}")
        return 0
    if command not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        print(f"no command {command!r}; there are {known}.\n\n{usage.USAGE}")
        return 2
    try:
        options.refuse_repeated(rest)
        return _COMMANDS[command](rest)
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        said = _explain(error)
        if said is None or (isinstance(error, BrokenPipeError) and _reader_is_gone()):
            raise
        print(f"mcq-jax {command}: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        return _stop(stopped)


def _stop(stopped: KeyboardInterrupt) -> int:
    """Says that a run was stopped; every host knows of it if all agreed to stop."""
    said = "\nstopped; the same command goes on from here."
    if type(stopped) is KeyboardInterrupt:
        print(said, file=sys.stderr)
        return _INTERRUPTED
    from mcq_jax import sharding

    if sharding.is_first_host():
        print(said, file=sys.stderr)
    return _TERMINATED


def _explain(error: Exception) -> str | None:
    """What a person is told of an error; None of one that is no one's but ours."""
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"out of memory; {_SMALLER}"
    if supervising.is_supervised() and _EXCHANGE_FAILED.match(text):
        return f"{supervising.LOST} (What failed: {text.splitlines()[0]})"
    return None if isinstance(error, RuntimeError) else text


# How errors of jax's exchanges between processes begin, whatever their type.
_EXCHANGE_FAILED = re.compile(
    "(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED): "
)
