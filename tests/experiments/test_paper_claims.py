"""The paper's claims: judged by whole intervals, and by what a run holds."""

import dataclasses
import math

import pytest

from mcq_jax.experiments import PaperClaims
from mcq_jax.experiments.claims_of_paper import CLAIMS
from mcq_jax.experiments.paper_claims import judged
from mcq_jax.metrics import Interval
from mcq_jax.results import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    UNTESTABLE,
    Followed,
    GridCell,
    GridRow,
    MutationGridFindings,
    QuerySwapsFindings,
    SwapsFound,
    status_of,
)
from tests.report import examples


def between(low: float, high: float) -> Interval:
    return Interval(mean=(low + high) / 2, low=low, high=high, questions=30)


@pytest.mark.parametrize(
    ("found", "band", "control", "status"),
    [
        ((0.6, 0.9), (0.5, None), None, SUPPORTED),
        ((0.4, 0.9), (0.5, None), None, UNDECIDED),
        ((0.1, 0.4), (0.5, None), None, CONTRADICTED),
        ((0.2, 0.8), (0.1, 0.9), None, SUPPORTED),
        ((0.92, 0.99), (0.1, 0.9), None, CONTRADICTED),
        ((0.85, 0.99), (0.1, 0.9), None, UNDECIDED),
        # A control that does as well takes support away, and does not contradict.
        ((0.6, 0.9), (0.5, None), (0.7, 0.8), UNDECIDED),
        ((0.6, 0.9), (0.5, None), (0.0, 0.1), SUPPORTED),
        ((0.1, 0.4), (0.5, None), (0.2, 0.3), CONTRADICTED),
        # One question says nothing about others.
        ((-math.inf, math.inf), (0.5, None), None, UNTESTABLE),
        ((math.nan, math.nan), (0.5, None), None, UNTESTABLE),
    ],
)
def test_a_status_needs_the_whole_interval(found, band, control, status):
    low, high = band
    beside = None if control is None else between(*control)
    assert status_of(between(*found), low, high, beside) == status


def test_every_claim_has_its_band_and_what_counts_against_it():
    fields = {field.name for field in dataclasses.fields(PaperClaims)}
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert fields - {"fresh"} == set(names)
    for claim in CLAIMS:
        assert claim.text and claim.source and claim.against


def test_what_was_not_run_is_not_testable_and_says_which():
    alone = examples.changed(examples.open_gate(), joint_tests=None)
    found = {claim.name: claim for claim in judged(PaperClaims(), alone)}
    assert found["joint"].status == UNTESTABLE
    assert found["joint"].why == "no set was tested" and not found["joint"].estimate
    assert found["place"].why == "query_swaps was not run"


def test_behind_a_closed_gate_no_claim_has_a_number():
    for claim in judged(PaperClaims(), examples.closed_gate()):
        assert claim.status == UNTESTABLE and claim.estimate is None
        assert "the gate is closed" in claim.why


def _swapped(**follow: tuple[float, float] | None) -> SwapsFound:
    def followed(who, place, letter):
        return Followed(
            who=who, layer=None, place=between(*place), by_place=(),
            letter=None if letter is None else between(*letter),
            stays=between(0, 0.1), too_few=False,
        )  # fmt: skip

    letter = follow["letter"]
    return SwapsFound(
        base="permuted", source="permuted" if letter else "other", questions=30,
        form="permuted" if letter else "random_letters",
        base_accuracy=1.0, source_accuracy=1.0,
        followed=(
            followed("correct-letter heads", follow["place"], letter),
            followed("random heads", (-0.1, 0.1), letter and (-0.1, 0.1)),
        ),
    )  # fmt: skip


def test_place_and_letter_are_read_from_the_forms_that_tell_them_apart():
    """No letter in common for the place; one alphabet, permuted, for the letter."""
    run = examples.changed(
        examples.open_gate(),
        query_swaps=QuerySwapsFindings(
            forms=(
                _swapped(place=(0.1, 0.2), letter=(0.3, 0.4)),
                _swapped(place=(0.8, 0.9), letter=None),
            ),
            letter_heads=("L1H1",),
        ),
    )
    found = {claim.name: claim for claim in judged(PaperClaims(), run)}
    assert found["place"].estimate == between(0.8, 0.9)
    assert found["place"].control == between(-0.1, 0.1)
    assert found["identity"].estimate == between(0.3, 0.4)
    assert found["place"].status == found["identity"].status == SUPPORTED


def test_what_a_mutation_leaves_stands_beside_plain_prompts():
    """Less than most under dots, though dots take nothing away, says so."""

    def row(prompts: str, mutation: str, low: float, high: float) -> GridRow:
        some = between(1, 2)
        cell = GridCell(
            variant="unmutated", net=some, loss=some, accuracy=some,
            recovered=between(low, high),
        )  # fmt: skip
        return GridRow(prompts=prompts, mutation=mutation, changes="…", cells=(cell,))

    grid = MutationGridFindings(
        rows=(row("main", "none", 0.7, 0.72), row("dots", "dot_behind", 0.69, 0.71)),
        contrasts=(), letter_heads=("L1H1",), fitting_questions=24,
    )  # fmt: skip
    run = examples.changed(examples.open_gate(), mutation_grid=grid)
    claims = {claim.name: claim for claim in judged(PaperClaims(), run)}
    assert claims["separators"].status == CONTRADICTED
    said = "dots prompts: … On plain prompts it is 0.71 (0.70 to 0.72)."
    assert claims["separators"].why.endswith(said)
    assert "no prompts with the mutation" in claims["numbers"].why


def test_fresh_questions_stand_beside_and_decide_nothing():
    run, other = examples.open_gate(), examples.open_gate(choices=3)
    plain = judged(PaperClaims(), run)
    both = judged(PaperClaims(), run, other)
    assert [c.status for c in plain] == [c.status for c in both]
    joint = {claim.name: claim for claim in both}["joint"]
    [selected] = [one for one in other.sets if one.kind == "selected"]
    assert joint.fresh == selected.sufficiency
