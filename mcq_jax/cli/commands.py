"""The commands, one function each: parse, run, write; heavy imports wait until then."""

import pathlib
import sys
from typing import TYPE_CHECKING, NoReturn

from mcq_jax import supervising
from mcq_jax.cli import usage
from mcq_jax.cli.cards import read_card
from mcq_jax.cli.options import without
from mcq_jax.cli.summary import print_summary

if TYPE_CHECKING:
    from mcq_jax.experiments import RunConfig

_ASKS_FOR_HELP = (["-h"], ["--help"])


def run(arguments: list[str]) -> int:
    """Runs a card's experiments and writes the report."""
    if arguments in _ASKS_FOR_HELP:
        print(usage.RUN)
        _list_overrides()
    if not arguments or arguments[0].startswith("-"):
        raise ValueError("run needs a config first, e.g. mcq-jax run configs/demo.py")
    from mcq_jax import experiments, sharding
    from mcq_jax.experiments.launch import read_launch
    from mcq_jax.report import write_report  # fails now if its extra is missing
    from mcq_jax.results import RunResults

    path, *overrides = arguments
    config, extra = read_card(pathlib.Path(path), experiments.RunConfig)
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
        _, folder = experiments.run(
            launch.config, only=launch.chosen.only, again=launch.chosen.again
        )
    if not sharding.is_first_host():
        return 0
    # The page is of all that the folder has, also by other cards and other `only`.
    results = RunResults.read(folder.storage, _kinds(config))
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


def plan(arguments: list[str]) -> int:
    """Says whether a sweep fits on chips that need not be here."""
    if arguments in _ASKS_FOR_HELP:
        print(usage.PLAN)
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


def report(arguments: list[str]) -> int:
    """Writes the report of a run folder again, without a model."""
    if "-h" in arguments or "--help" in arguments:
        print(usage.REPORT)
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
        config, extra = read_card(pathlib.Path(rest[1]), RunConfig)
        kinds = _kinds(config)
    storage = Storage.at(path)
    results = RunResults.read(storage, kinds)
    with storage.as_local() as here:
        page = write_report(results, here, extra=extra)
    print(f"{storage.path}/{page.name}")
    return 0


def _kinds(config: "RunConfig") -> dict[str, type]:
    """What the card's experiments find, by their names."""
    return {experiment.name: experiment.findings for experiment in config.experiments}


def compare(arguments: list[str]) -> int:
    """Writes one page on several run folders."""
    if "-h" in arguments or "--help" in arguments:
        print(usage.COMPARE)
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


def train(arguments: list[str]) -> int:
    """Trains the models of a card; on CPUs one process per core."""
    if arguments in _ASKS_FOR_HELP:
        print(usage.TRAIN)
        return 0
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(
            "train needs a card first, e.g. mcq-jax train configs/train_counting.py"
        )
    from mcq_jax import training
    from mcq_jax.training import launch

    path, *overrides = arguments
    config, _ = read_card(pathlib.Path(path), training.TrainingConfig)
    asked = launch.read_launch(config, overrides, prog=f"mcq-jax train {path}")
    shares = launch.shares(asked)
    if len(shares) > 1:
        own = without(("--processes", "--only", "--quiet"), overrides)
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


def _enable_compilation_cache() -> None:
    """Keeps compiled programs between runs."""
    from mcq_jax import costs

    costs.keep_compiled_programs()
