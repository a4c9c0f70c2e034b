"""One finished run on a planted circuit, shared by the tests that look at it."""

import dataclasses
import pathlib
import shutil

import pytest

from mcq_jax.experiments import RunConfig, run
from mcq_jax.results import RunFolder, RunResults
from tests.experiments.runs import planted_config, quiet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    config: RunConfig
    found: RunResults
    folder: RunFolder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("planted") / "run"
    config = planted_config(out, question_count=8, effect_questions=8, random_sets=10)
    found, folder = run(config, quiet())
    return Finished(config=config, found=found, folder=folder)


@pytest.fixture
def copy(finished, tmp_path: pathlib.Path):
    """The finished run's config and folder, to be done with as one likes."""
    folder = shutil.copytree(finished.folder.path, tmp_path / "copy")
    return dataclasses.replace(finished.config, out=str(folder)), folder
