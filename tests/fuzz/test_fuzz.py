"""Some cases of the fuzz against `transformers`; `python -m tests.fuzz` runs more."""

import jax
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.fuzz import cases, models  # noqa: E402
from tests.fuzz.cases import Outcome  # noqa: E402

pytestmark = pytest.mark.parity

SEED = 15
FAMILIES = list(enumerate(models.FAMILIES))
# Of the last three structures (a pass, a resumed one, a sweep) the first two draws.
SOME = [
    structure * cases.DRAWS + draw
    for structure in range(len(cases.KINDS) - 3, len(cases.KINDS))
    for draw in range(2)
]


@pytest.fixture(autouse=True, scope="module")
def programs_that_compile_fast():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("block, family", FAMILIES)
def test_random_edits_and_sweeps_equal_the_reference(block: int, family: str):
    _check([block * cases.BLOCK + number for number in SOME], family)


@pytest.mark.exhaustive
@pytest.mark.parametrize("block, family", FAMILIES)
def test_many_more_do(block: int, family: str):
    start = (block + len(FAMILIES)) * cases.BLOCK
    _check(list(range(start, start + cases.BLOCK)), family)


def _check(numbers: list[int], family: str) -> None:
    found = list(cases.run_cases(SEED, numbers))
    assert {case.family for case in found} == {family}
    for case in found:
        assert case.outcome in (Outcome.EQUAL, Outcome.REFUSED), case
    assert sum(case.outcome is Outcome.EQUAL for case in found) > len(found) // 2
