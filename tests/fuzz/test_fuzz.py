"""Some cases of the fuzz against `transformers`; `python -m tests.fuzz` runs more."""

from collections.abc import Iterable

import jax
import numpy as np
import pytest

from mcq_jax.model import sites_of

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.checkpoints import files  # noqa: E402
from tests.fuzz import cases, models  # noqa: E402
from tests.fuzz.cases import Outcome  # noqa: E402
from tests.fuzz.changes import AXES  # noqa: E402
from tests.fuzz.reference import Watched  # noqa: E402

pytestmark = pytest.mark.parity

SEED = 15
FAMILIES = list(enumerate(models.FAMILIES))
USUAL = [cases.KINDS.index(kind) for kind in ("resumed", "sweep", "composed")]
OTHERS = ("paths", "generation", "gradient", "int8", "bfloat16", "joint")


def _some(structures: Iterable[int], draws: int) -> list[int]:
    """Cases of a block: of some of its structures, the first draws of each."""
    return [s * cases.DRAWS + draw for s in structures for draw in range(draws)]


@pytest.fixture(autouse=True, scope="module")
def programs_that_compile_fast():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("family", models.FAMILIES)
def test_the_oracle_is_the_reference_where_nothing_is_changed(family: str, tmp_path):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(SEED)
    pair = models.draw(family, generator, tmp_path)
    reference = pair.reference
    tokens = generator.integers(files.VOCABULARY, size=(2, 12))
    with torch.no_grad():
        expected = reference(torch.tensor(tokens)).logits.numpy()
    seen = set()

    def visit(site, layer, x):
        seen.add(site)
        return x

    found = Watched(family, reference).run(tokens, visit, wanted=frozenset(AXES))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert {site.label for site in sites_of(pair.ours.config)} == seen


@pytest.mark.parametrize("block, family", FAMILIES)
def test_random_edits_and_sweeps_equal_the_reference(block: int, family: str):
    # A resumed pass, a sweep, several edits of one site, and one more kind each.
    more = OTHERS[block % len(OTHERS)]
    _check(block, _some((*USUAL, cases.KINDS.index(more)), draws=2), family)


@pytest.mark.exhaustive
@pytest.mark.parametrize("block, family", FAMILIES)
def test_many_more_do(block: int, family: str):
    every = range(len(cases.KINDS))
    _check(block + len(FAMILIES), _some(every, draws=4), family)


def _check(block: int, numbers: list[int], family: str) -> None:
    chosen = [block * cases.BLOCK + number for number in numbers]
    found = list(cases.run_cases(SEED, chosen))
    assert {case.family for case in found} == {family}
    for case in found:
        assert case.outcome in (Outcome.EQUAL, Outcome.REFUSED), case
    assert sum(case.outcome is Outcome.EQUAL for case in found) > len(found) // 2
