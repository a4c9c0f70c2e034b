"""Strict settings for every test, and the two places where real data may lie.

The settings come before the package is imported: signatures are instrumented while
it loads.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import jax
import jaxtyping
import pytest

from tests import signatures

jaxtyping.install_import_hook("mcq_jax", f"{signatures.__name__}.check")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Linux gives a process 65,530 stretches of memory; a compiled program takes some.
MANY_STRETCHES = 15_000

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forgets compiled programs between modules: without it jax ends by a crash."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MANY_STRETCHES:
        jax.clear_caches()
        gc.collect()


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
