"""The package's table of contents: light to import, true to what it lists."""

import subprocess
import sys

import pytest

import mcq_jax

HEAVY = ("jax", "haiku", "numpy", "pyarrow", "tokenizers", "rich", "matplotlib")


def _modules_after(statement: str) -> set[str]:
    """Names of the modules loaded in a fresh interpreter that ran `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert _modules_after("import mcq_jax").isdisjoint(HEAVY)


def test_a_public_name_loads_its_room_on_first_use():
    loaded = _modules_after("import mcq_jax; mcq_jax.Site")
    assert "mcq_jax.interventions" in loaded
    assert "mcq_jax.checkpoints" not in loaded


@pytest.mark.parametrize("name", mcq_jax.__all__)
def test_every_listed_name_exists(name: str):
    assert getattr(mcq_jax, name) is not None
    assert name in dir(mcq_jax)


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(AttributeError, match="no_such_thing"):
        mcq_jax.no_such_thing  # noqa: B018
