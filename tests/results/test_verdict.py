"""The verdict weighs a set against its strongest rival, and says which one that is."""

import dataclasses
import itertools

import pytest

from mcq_jax.metrics import Interval
from mcq_jax.results import (
    JointFound,
    RunResults,
    ScreenedFound,
    Screening,
    ScreeningFound,
    judge,
    verdict,
)
from tests.report import examples

KEPT, LOST, HALF = (0.9, 1.1), (-0.02, 0.1), (0.3, 0.7)
FOUND, NONE, OPEN = "A circuit was found", "No circuit was found", "Not decided"


def _interval(ends: tuple[float, float]) -> Interval:
    return Interval(mean=sum(ends) / 2, low=ends[0], high=ends[1], questions=30)


def _screening(rivals: tuple[float, float], chosen: tuple[float, float]):
    def one(ends: tuple[float, float]) -> ScreenedFound:
        left = _interval(ends)
        return ScreenedFound(
            sufficiency=left, necessity=left, sufficiency_left=left, necessity_left=left
        )

    return ScreeningFound(selected=one(chosen), next_best=one(rivals))


def _run(
    screening: ScreeningFound | None = None, /, **ends: tuple[float, float]
) -> RunResults:
    """Findings with these intervals of sufficiency, by kind of set."""
    run = examples.open_gate()
    sets = tuple(
        dataclasses.replace(found, size=12, sufficiency=_interval(ends[found.kind]))
        for found in run.sets
        if found.kind in ends
    )
    return examples.changed(run, sets=sets, screening=screening)


# Seen on five-option questions: twelve nodes, and the next twelve do better.
SEEN = dict(selected=(0.78, 0.89), next_best=(0.85, 0.99), random=(0.02, 0.06))
SIDES = {
    (LOST, KEPT): (Screening.SET_CARRIES, FOUND, True),
    (KEPT, LOST): (Screening.RIVALS_CARRY, NONE, False),
    (KEPT, KEPT): (Screening.APART, NONE, False),
    (LOST, LOST): (Screening.TOGETHER, NONE, False),
    (HALF, KEPT): (Screening.UNDECIDED, OPEN, None),
    (LOST, HALF): (Screening.UNDECIDED, OPEN, None),
}


@pytest.mark.parametrize("left", SIDES, ids=str)
def test_where_the_next_in_rank_do_as_well_screening_off_decides(left):
    said, opening, has_circuit = SIDES[left]
    screening = _screening(*left)
    assert judge(screening) is said
    found = verdict(_run(screening, **SEEN))
    assert found.has_circuit is has_circuit
    first = found.sentence.split(": ")[0]
    assert first.startswith(opening)
    assert (first != FOUND) == (has_circuit is not True)
    assert "strongest rival, the 12 nodes next in rank, 92% (85% to 99%)" in (
        found.sentence
    )
    assert found.sentence.endswith(f"{said.value}.")


def test_without_screening_off_a_rival_that_does_as_well_leaves_it_open():
    found = verdict(_run(None, **SEEN))
    assert found.has_circuit is None and found.sentence.startswith(OPEN)
    assert "was not measured; run the card again" in found.sentence


def test_a_rival_that_does_less_needs_no_screening_off():
    weak = {**SEEN, "next_best": (0.3, 0.7)}
    for screening in (None, _screening(KEPT, KEPT), _screening(HALF, HALF)):
        found = verdict(_run(screening, **weak))
        assert found.has_circuit and found.sentence.startswith(f"{FOUND}: ")
        assert "strongest rival, the 12 nodes next in rank, 50%" in found.sentence


def test_random_sets_are_named_where_they_are_the_strongest_rival():
    found = verdict(
        _run(None, **{**SEEN, "next_best": (0.0, 0.1), "random": (0.3, 0.5)})
    )
    assert found.has_circuit
    assert "strongest rival, random sets like it, 40% (30% to 50%)" in found.sentence
    assert "the 12 nodes next in rank 5%" in found.sentence
    as_good = verdict(_run(_screening(LOST, KEPT), **{**SEEN, "random": (0.7, 0.8)}))
    assert as_good.has_circuit is False
    assert as_good.sentence.startswith(f"{NONE}, random sets do as well: ")


def test_half_of_the_effect_at_least_is_most_of_it():
    found = verdict(_run(None, **{**SEEN, "selected": (0.45, 0.6)}))
    assert found.has_circuit is False
    assert found.sentence.startswith("No set explains most of the effect: ")


def test_no_circuit_is_found_beside_a_rival_that_does_as_well_and_is_not_carried():
    ends = itertools.product((LOST, HALF, KEPT), repeat=2)
    screenings = [None, *(_screening(*left) for left in ends)]
    rivals = ((0.0, 0.2), (0.5, 0.77), (0.5, 0.78), (0.6, 1.2))
    for next_best, random, screening in itertools.product(rivals, rivals, screenings):
        run = _run(screening, selected=(0.78, 0.9), next_best=next_best, random=random)
        if verdict(run).sentence.startswith(FOUND):
            assert random[1] < 0.78
            carried = screening and judge(screening) is Screening.SET_CARRIES
            assert next_best[1] < 0.78 or carried


def test_a_set_of_every_node_has_no_rivals_next_in_rank():
    run = _run(selected=(0.9, 1.1), random=(0.0, 0.1))
    assert "next in rank" not in verdict(run).sentence
    assert verdict(run).has_circuit


def test_a_set_that_was_refused_says_why():
    run = examples.open_gate()
    refused = tuple(
        JointFound(kind=found.kind, size=found.size, sufficiency=None, necessity=None,
                   refused="it includes 0.")
        for found in run.sets
    )  # fmt: skip
    found = verdict(examples.changed(run, sets=refused))
    assert found.has_circuit is False
    assert found.sentence == "No set could be tested: it includes 0."
