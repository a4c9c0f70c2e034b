"""Settings for every test, what is run of them, and where real data may lie.

The settings come before the package is imported: jax reads its own from the
environment, and signatures are instrumented while the package loads.
"""

import gc
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import programs

programs.share()  # before jax is imported

import jax  # noqa: E402

from tests import signatures  # noqa: E402

signatures.instrument("mcq_jax")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", default="1/1", help="of the chosen tests the I-th of K parts: I/K"
    )


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keeps one part of the tests: which one a test is in follows from its name.

    And lets parity tests pass over what a reference will call otherwise some day: they
    ask what it computes now. (Our own such calls are errors in every other test.)
    """
    for item in items:
        if item.get_closest_marker("parity"):
            for category in _OF_LATER:
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}"))
    _call_all_but_one_slow(items)
    part, parts = map(int, str(config.getoption("part")).split("/"))
    if not 1 <= part <= parts:
        raise pytest.UsageError(f"--part {part}/{parts}; count from 1 to {parts}.")
    kept = [i for i in items if zlib.crc32(i.nodeid.encode()) % parts == part - 1]
    config.hook.pytest_deselected(items=[i for i in items if i not in set(kept)])
    items[:] = kept


def _call_all_but_one_slow(items: list[pytest.Item]) -> None:
    """Of a test that is marked `few`, the first case stays in `make fast`."""
    met = set()
    for item in items:
        left_out = any(map(item.get_closest_marker, ("slow", "exhaustive")))
        if item.get_closest_marker("few") and not left_out:
            name = item.nodeid.partition("[")[0]
            if name in met:
                item.add_marker(pytest.mark.slow)
            met.add(name)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: garbage is no longer looked for in it."""
    gc.collect()
    gc.freeze()


_OF_LATER = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forgets compiled programs between modules, where they have become many."""
    yield
    programs.forget_if_many()


def pytest_runtest_logfinish() -> None:
    programs.forget_if_large()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells how much memory it took at most."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["peak_bytes"] = programs.peak_bytes()


def pytest_testnodedown(node) -> None:
    _PEAKS.append(getattr(node, "workeroutput", {}).get("peak_bytes", 0.0))


_PEAKS: list[float] = []


def pytest_terminal_summary(terminalreporter) -> None:
    peaks = _PEAKS or [programs.peak_bytes()]
    said = ", ".join(f"{peak / 1e9:.1f}" for peak in peaks)
    terminalreporter.write_line(f"Memory of the workers at most, in GB: {said}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        programs.stop_sharing()


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of shared data: $MCQ_SHARED, or `shared` beside the repository."""
    folder = Path(os.environ.get("MCQ_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no data/ in {folder}; set MCQ_SHARED to a folder with it")
    return folder


@pytest.fixture(scope="session")
def model_file() -> Callable[[str], Path]:
    """Returns a function from a model's name to its GGUF file; it skips without one.

    `model_file("smollm2-135m")` is the one file of that name, whatever stands behind
    it, in $MCQ_MODELS or ~/.cache/mcq_models.
    """
    default = Path.home() / ".cache" / "mcq_models"
    folder = Path(os.environ.get("MCQ_MODELS", default))

    def find(name: str) -> Path:
        files = sorted(folder.glob(f"{name}*.gguf"))
        if not files:
            pytest.skip(f"no {name}*.gguf in {folder}; set MCQ_MODELS to its folder")
        if len(files) > 1:
            raise ValueError(f"{len(files)} files {name}*.gguf in {folder}; name one.")
        return files[0]

    return find
