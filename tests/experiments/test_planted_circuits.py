"""The pipeline finds every planted circuit, with thresholds fixed beforehand."""

import dataclasses
import pathlib

import pytest

from mcq_jax.metrics import Thresholds
from mcq_jax.results import PlantedTruthFindings, verdict
from tests.experiments.runs import planted_run

# The largest gap between what was measured and what follows from the recipe, as a share
# of the logit scale: float32 against exact arithmetic.
ROUNDING = 1e-4
VARIANTS = ("ordinal", "letter", "mixed")
# Seed, options, variant. Few numbers of options: each compiles its own programs.
FAST = ((0, 4, "ordinal"), (1, 4, "letter"), (2, 4, "mixed"))
MANY = tuple(
    (10 + place, (2, 4, 7, 10)[place % 4], VARIANTS[place // 4 % 3])
    for place in range(32)
)
# Of these by default: the most options, in the variant that goes by both.
SOME = (MANY[11],)


def _assert_everything_is_found(out: pathlib.Path, case: tuple[int, int, str]):
    seed, choices, variant = case
    run, _ = planted_run(out, circuit=seed, choices=choices, variant=variant)
    found = run.get(PlantedTruthFindings)
    assert found is not None, verdict(run).sentence
    assert found.found == found.planted
    assert found.classes_found == found.classes_planted
    assert found.largest_error < ROUNDING
    assert found.agrees
    every = [name for role in found.found.values() for name in role]
    assert len(every) == len(set(every)) == len(run.nodes)


def test_thresholds_are_the_ones_that_were_fixed_beforehand():
    assert dataclasses.asdict(Thresholds()) == dict(
        label_mass=0.2,
        follows_letter=0.2,
        diagonal_ratio=2.0,
        single_letter=0.6,
        uniform_entropy=0.9,
        effect_share=0.02,
        amplifier_fall=0.5,
        content_mass=0.1,
        content_ratio=2.0,
        late_mass=0.6,
    )


@pytest.mark.parametrize(
    "case",
    [FAST[0], *(pytest.param(case, marks=pytest.mark.slow) for case in FAST[1:])],
    ids=str,
)
def test_a_planted_circuit_is_found(tmp_path: pathlib.Path, case):
    _assert_everything_is_found(tmp_path, case)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.exhaustive] * (c not in SOME)) for c in MANY],
    ids=str,
)
def test_every_planted_circuit_is_found(tmp_path: pathlib.Path, case):
    _assert_everything_is_found(tmp_path, case)


def test_the_table_holds_thirty_circuits_of_every_kind():
    cases = FAST + MANY
    assert len({seed for seed, _, _ in cases}) >= 30
    kinds = {(choices, variant) for _, choices, variant in cases}
    assert kinds == {(c, v) for c in (2, 4, 7, 10) for v in VARIANTS}
