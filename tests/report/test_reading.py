"""Findings as words, rows, claims and key figures."""

import dataclasses
import math

import pytest

from mcq_jax.metrics import Interval
from mcq_jax.report import picks, planted_truth, sections, words
from mcq_jax.results import BehaviourFindings, PlantedTruthFindings
from tests.report import examples


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.number(1234.567), "1\u202f234.57"),
        (words.number(-0.004), "0.00"),
        (words.number(-0.5), "−0.50"),
        (words.number(None), "–"),
        (words.number(math.nan), "–"),
        (words.signed(0.5), "+0.50"),
        (words.signed(-0.5), "−0.50"),
        (words.signed(0.001), "0.00"),
        (words.signed(math.inf), "–"),
        (words.percent(0.934, 1), "93.4\u202f%"),
        (words.percent(0), "0\u202f%"),
        (words.scientific(3.1e-6), "3.1 × 10⁻⁶"),
        (words.scientific(0.0), "0"),
        (words.p_value(0.0004), "< 0.001"),
        (words.p_value(0.0123), "0.012"),
        (words.p_value(math.nan), "–"),
        (words.duration(59.94), "59.9 s"),
        (words.duration(125.2), "2 min 05 s"),
        (words.duration(7500), "2 h 05 min"),
        (words.count(1, "node"), "1 node"),
        (words.count(1500, "node"), "1\u202f500 nodes"),
    ],
)
def test_numbers_are_written_for_people(text, expected):
    assert text == expected


def test_nodes_rank_by_the_size_of_their_effect_whatever_its_sign():
    names = [node.name for node in picks.top_nodes(examples.open_gate(), 5)]
    assert names == ["L5H1", "L5H4", "L6H3", "L7H2", "L6H0"]


def test_nodes_without_any_effect_are_left_out_and_total_effects_rank_the_rest():
    found = examples.open_gate()
    nodes = tuple(
        dataclasses.replace(
            node,
            direct={"rotation": examples.estimate(direct)},
            total={"rotation": examples.estimate(total)},
        )
        for node, direct, total in zip(
            found.nodes, (1e-9, 2.0, 2e-9, 0.0), (3.0, 2.0, 5.0, 1e-9), strict=False
        )
    )
    top = picks.top_nodes(examples.changed(found, nodes=nodes))
    assert top == (nodes[1], nodes[2], nodes[0])


def test_without_rotations_the_first_kind_of_source_ranks():
    found = examples.open_gate()
    nodes = tuple(
        dataclasses.replace(node, direct={"other": node.direct["other"]})
        for node in found.nodes
    )
    assert picks.main_kind(examples.changed(found, nodes=nodes)) == "other"


def test_the_node_table_has_a_column_for_each_kind_of_source():
    (section,) = _named("nodes")
    table = section.values["table"]
    assert [f"DE {kind}" in table.columns for kind in examples.KINDS] == [True] * 3
    assert len(table.rows) == 20
    assert all(len(row.cells) == len(table.columns) - 1 for row in table.rows)


def _named(anchor: str) -> list:
    found = sections.sections(examples.open_gate())
    return [section for section in found if section.anchor == anchor]


def statuses(run) -> list[str]:
    found = sections.sections(run)
    return [claim.status for section in found for claim in section.claims]


def cards(run) -> list:
    return [card for section in sections.sections(run) for card in section.cards]


def test_a_clear_run_supports_what_it_tested_and_no_more():
    assert statuses(examples.open_gate()) == ["supported"] * 6


def test_a_run_at_chance_finds_no_effect():
    assert statuses(examples.closed_gate())[:2] == ["undecided", "not found"]


def test_a_set_within_the_interval_of_random_ones_is_undecided():
    found = examples.open_gate()
    wide = Interval(mean=0.5, low=0.1, high=0.95, questions=25)
    joint = tuple(
        dataclasses.replace(each, sufficiency=wide) if each.kind == "random" else each
        for each in found.sets
    )
    judged = statuses(examples.changed(found, sets=joint))
    assert judged[2:4] == ["undecided", "supported"]


def test_accuracy_below_chance_contradicts_the_first_claim():
    found = examples.closed_gate()
    low = Interval(mean=0.1, low=0.05, high=0.2, questions=50)
    behaviour = dataclasses.replace(found.need(BehaviourFindings), accuracy=low)
    judged = statuses(examples.changed(found, behaviour=behaviour))
    assert judged[0] == "contradicted"


def test_the_ruler_of_a_key_figure_lies_where_its_numbers_do():
    track = cards(examples.open_gate())[0].track
    assert track is not None
    assert (track.low, track.mean) == (87.0, 93.0)
    assert track.marks == ((25.0, "chance"),)


def test_a_closed_gate_has_three_key_figures():
    assert len(cards(examples.closed_gate())) == 3


def test_a_planted_role_says_what_was_missed_and_what_was_added():
    found = PlantedTruthFindings(
        planted={"output": ("L1H0", "L1H1"), "upstream": ("L0H0",)},
        found={"output": ("L1H1", "L0H3"), "upstream": ("L0H0",)},
        classes_planted={"L1H0": "correct_letter"},
        classes_found={"L1H0": "correct_letter", "L1H1": "uniform"},
        largest_error=0.0,
        agrees=False,
    )
    table = planted_truth.roles(found)
    assert [row.mark for row in table.rows] == ["differs", "agrees"]
    assert table.rows[0].cells[-1].text == "missed L1H0; not planted: L0H3"
    assert planted_truth.tally(planted_truth.classes(found)) == "1 of 2"
