"""The command line: `mcq-jax run CONFIG [overrides]`, `mcq-jax report RUN`, …."""

import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from mcq_jax import supervising

if TYPE_CHECKING:
    from mcq_jax.results import RunResults

Card = TypeVar("Card")

_RUN = """\
  mcq-jax run CONFIG [--model PATH] [--questions PATH] [overrides]
      Runs a config (a Python file in configs/) and writes a folder with tables,
      figures and report.html. Started again, it goes on where it stopped.
      `mcq-jax run CONFIG --help` lists every override. --only NAME runs one experiment
      of the card and what it needs; --again NAME drops its tables first. On several
      devices: --mesh data=4,model=2; on many hosts, each starting this command:
      --many-hosts.
"""
_PLAN = """\
  mcq-jax plan MODEL [--topology v5e:4x4] [options]
      Says whether a sweep of MODEL (a checkpoint's folder, a GGUF file, or the name of
      a shape, such as chinchilla-70b) fits on those chips, in what chunks, and how long
      it takes. The chips need not be there. `mcq-jax plan MODEL --help` lists every
      option.
"""
_TRAIN = """\
  mcq-jax train CARD [--steps N] [--only MEMBER] [overrides]
      Trains the models of a card (a Python file with a TrainingConfig) and writes their
      curves and checkpoints. Started again, it goes on where it stopped. On CPUs it is
      one process per core. `mcq-jax train CARD --help` lists every override.
"""
_REPORT = """\
  mcq-jax report RUN [--card CARD]
      Writes the report of a run folder again, without a model; also of a run that was
      stopped. CARD brings the sections of experiments from outside the package.
"""
_COMPARE = """\
  mcq-jax compare RUN RUN … [--out FILE.html]
      Writes one page on the behaviour of several run folders (comparison.html where
      left out): accuracy, letters, D; differences from the first, paired by question.
"""
USAGE = f"""\
mcq-jax: find the circuit that turns "knows the answer" into "writes its letter".

{_RUN}
{_PLAN}
{_TRAIN}
{_REPORT}
{_COMPARE}
  mcq-jax --version
"""


_SMALLER = (
    "use a smaller --batch, leave out long prompts (--longest-prompt), or use a larger "
    "machine. Finished parts are kept."
)


_HELP = (["-h"], ["--help"])

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
        print(USAGE)
        return 0
    command, *rest = arguments
    if command == "--version":
        print(f"mcq-jax {importlib.metadata.version('mcq-jax')}")
        return 0
    commands = {
        "run": _run,
        "plan": _plan,
        "train": _train,
        "report": _report,
        "compare": _compare,
    }
    if command not in commands:
        known = ", ".join(commands)
        print(f"no command {command!r}; there are {known}.\n\n{USAGE}")
        return 2
    try:
        _check_options(rest)
        return commands[command](rest)
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        said = _explain(error)
        if said is None or (isinstance(error, BrokenPipeError) and _reader_is_gone()):
            raise
        print(f"mcq-jax {command}: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        return _stop(stopped)


def _check_options(arguments: list[str]) -> None:
    """Raises ValueError where an option is given twice: the last would count alone."""
    named = [_option(one) for one in arguments if one.startswith("--")]
    for name in named:
        if named.count(name) > 1:
            raise ValueError(
                f"{name} is given {named.count(name)} times, and only the last would "
                f"count; give it once, several values together: {name} a b."
            )


def _option(argument: str) -> str:
    """The name of an option, however it is written: --a_b=1 and --no-a-b are --a-b."""
    name = argument.partition("=")[0].replace("_", "-")
    return name.replace("--no-", "--", 1)


def _without(names: tuple[str, ...], arguments: list[str]) -> list[str]:
    """Arguments but some options and their values."""
    kept, is_kept = [], True
    for argument in arguments:
        if argument.startswith("--"):
            is_kept = _option(argument) not in names
        if is_kept:
            kept.append(argument)
    return kept


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


def _run(arguments: list[str]) -> int:
    if arguments in _HELP:
        print(_RUN)
        _list_overrides()
    if not arguments or arguments[0].startswith("-"):
        raise ValueError("run needs a config first, e.g. mcq-jax run configs/demo.py")
    from mcq_jax import experiments, sharding
    from mcq_jax.experiments.launch import read_launch
    from mcq_jax.report import write_report  # fails now if its extra is missing

    path, *overrides = arguments
    config, extra = _read_card(pathlib.Path(path), experiments.RunConfig)
    launch = read_launch(config, overrides, prog=f"mcq-jax run {path}")
    if launch.hosts.are_many and not supervising.is_supervised():
        command = [sys.executable, "-m", "mcq_jax.cli", "run", *arguments]
        return supervising.supervise(command, name="mcq-jax run")
    if launch.hosts.are_many:
        supervising.end_with_parent()
        launch.hosts.join()
    elif launch.config.mesh != "auto":
        sharding.make_room_for_exchanges()
    _enable_compilation_cache()
    with sharding.stopping_on_sigterm():
        results, folder = experiments.run(
            launch.config, only=launch.chosen.only, again=launch.chosen.again
        )
    if not sharding.is_first_host():
        return 0
    with folder.storage.as_local() as here:
        page = write_report(results, here, extra=extra)
    print_summary(results)
    print(f"\nReport: {folder.path}/{page.name}")
    return 0


def _list_overrides() -> NoReturn:
    """Prints what every card's run can be given, and ends the program."""
    from mcq_jax.experiments import RunConfig
    from mcq_jax.experiments.launch import read_launch

    example = RunConfig(title="…", model="…", questions="…")
    read_launch(example, ["--help"], prog="mcq-jax run CONFIG")
    raise AssertionError("--help ends the program")


def _plan(arguments: list[str]) -> int:
    if arguments in _HELP:
        print(_PLAN)
        arguments = ["MODEL", "--help"]
    if not arguments or arguments[0].startswith("-"):
        raise ValueError("plan needs a model first, e.g. mcq-jax plan chinchilla-70b")
    import tyro

    from mcq_jax import planning

    model, *rest = arguments
    options = tyro.cli(planning.PlanOptions, args=rest, prog=f"mcq-jax plan {model}")
    if options.topology is not None:
        return planning.plan_in_own_process(model, options)
    planning.print_plan(model, options)
    return 0


def _report(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(_REPORT)
        return 0
    path, *rest = arguments or [""]
    if not path or path.startswith("-") or rest[:1] not in ([], ["--card"]):
        raise ValueError("report needs one run folder, e.g. mcq-jax report runs/demo")
    from mcq_jax.experiments import RunConfig
    from mcq_jax.report import write_report
    from mcq_jax.results import RunResults, Storage

    kinds, extra = {}, ()
    if rest:
        if len(rest) != 2:
            raise ValueError("--card needs the run's card: mcq-jax report RUN --card C")
        config, extra = _read_card(pathlib.Path(rest[1]), RunConfig)
        kinds = {e.name: e.findings for e in config.experiments}
    storage = Storage.at(path)
    results = RunResults.read(storage, kinds)
    with storage.as_local() as here:
        page = write_report(results, here, extra=extra)
    print(f"{storage.path}/{page.name}")
    return 0


def _compare(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(_COMPARE)
        return 0
    file, paths = "comparison.html", list(arguments)
    if "--out" in paths:
        place = paths.index("--out")
        if place + 2 != len(paths):
            raise ValueError("--out needs one file, last: mcq-jax compare A B --out C")
        file, paths = paths[-1], paths[:place]
    unknown = [path for path in paths if path.startswith("-")]
    if len(paths) < 2 or unknown:
        raise ValueError(
            "compare needs two run folders or more, e.g. mcq-jax compare runs/a runs/b"
        )
    twice = {path for path in paths if paths.count(path) > 1}
    if twice:
        raise ValueError(f"{twice.pop()} is given twice; give each run folder once.")
    from mcq_jax.report.comparison import write_comparison
    from mcq_jax.results.comparison import read_answered

    page = write_comparison([read_answered(path) for path in paths], pathlib.Path(file))
    print(page)
    return 0


def _train(arguments: list[str]) -> int:
    if arguments in _HELP:
        print(_TRAIN)
        return 0
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(
            "train needs a card first, e.g. mcq-jax train configs/train_counting.py"
        )
    from mcq_jax import training
    from mcq_jax.training import launch

    path, *overrides = arguments
    config, _ = _read_card(pathlib.Path(path), training.TrainingConfig)
    asked = launch.read_launch(config, overrides, prog=f"mcq-jax train {path}")
    shares = launch.shares(asked)
    if len(shares) > 1:
        own = _without(("--processes", "--only", "--quiet"), overrides)
        command = [sys.executable, "-m", "mcq_jax.cli", "train", path, *own]
        quiet = [["--quiet"]] * len(shares)
        if not asked.chosen.quiet:
            quiet[0] = []  # one of them tells how far it is
        return launch.run_in_processes(
            [
                [*command, "--processes", "1", *extra, "--only", *names]
                for names, extra in zip(shares, quiet, strict=True)
            ]
        )
    _enable_compilation_cache()
    trained = training.train(asked.config, quiet=asked.chosen.quiet)
    for folder in trained.checkpoints.values():
        print(folder)
    return 0


def _read_card(path: pathlib.Path, kind: type[Card]) -> tuple[Card, tuple[Any, ...]]:
    """Returns what the file's `config()` returns, and its `sections` if it has any."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no config at {path}; configs are Python files, such as configs/demo.py."
        )
    sys.path.insert(0, str(path.parent.resolve()))  # a card may import its neighbours
    # A module of its own, in which the classes of the card are found again.
    spec = importlib.util.spec_from_file_location(f"card {path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        made = getattr(module, "config", None)
        config = made() if callable(made) else None
    except Exception as error:  # it is somebody's program: anything may go wrong
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(config, kind):
        raise ValueError(
            f"{path} has no function config() that returns a {kind.__name__}."
        )
    return config, tuple(getattr(module, "SECTIONS", ()))


def _enable_compilation_cache() -> None:
    """Keeps compiled programs between runs."""
    from mcq_jax import costs

    costs.keep_compiled_programs()


def print_summary(results: "RunResults") -> None:
    """Prints the verdict and the strongest nodes."""
    import rich.console
    import rich.table

    from mcq_jax.results import verdict

    console = rich.console.Console()
    said = verdict(results).sentence
    console.print(f"\n{said}", style="bold", highlight=False, markup=False)
    if not results.nodes:
        return
    kinds = list(results.nodes[0].direct)
    table = rich.table.Table(title="Strongest nodes (net logits, 95 % intervals)")
    for name in ("node", "class", "chosen", *(f"direct, {k}" for k in kinds)):
        table.add_column(name)
    table.add_column(f"total, {kinds[0]}")
    order = sorted(results.nodes, key=lambda n: -abs(n.direct[kinds[0]].mean))
    for node in order[:15]:
        cells = [node.direct[kind] for kind in kinds] + [node.total[kinds[0]]]
        texts = [f"{c.mean:+.3f} [{c.low:+.3f}, {c.high:+.3f}]" for c in cells]
        table.add_row(node.name, node.head_class, "yes" * node.selected, *texts)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
