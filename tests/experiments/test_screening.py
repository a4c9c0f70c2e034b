"""Screening off: who acts through whom, in a circuit where that is known.

gatherers, agreeing block ─► correct-letter heads ─► amplifiers
(all that is upstream at the last token)   (output: two in parallel, and others)
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from mcq_jax import metrics, planted
from mcq_jax.experiments import Lab
from mcq_jax.experiments.joint_tests import screen_off
from mcq_jax.experiments.node_effects import bank_of
from mcq_jax.experiments.pipeline import open_model
from mcq_jax.experiments.prompt_set import load_questions, make_prompts
from mcq_jax.experiments.set_patches import (
    NEXT_BEST_ALONE,
    SELECTED_ALONE,
    TestSets,
    make_sets,
    patch_sets,
)
from mcq_jax.experiments.study import Study, study_questions
from mcq_jax.interventions import Node
from mcq_jax.planted import ideal
from mcq_jax.prompts import rotations
from mcq_jax.results import Screening, ScreeningFound, judge
from mcq_jax.sweeps import choose_sources
from tests.experiments.runs import lab_of, nets, planted_config

# Float32 against exact arithmetic.
ROUNDING = 1e-4


@dataclasses.dataclass(frozen=True)
class Case:
    """A planted model, its prompts, and what each of them is about."""

    truth: planted.Truth
    study: Study
    facts: tuple[planted.Facts, ...]
    lab: Lab

    def screen(self, chosen: Iterable[Node], rivals: Iterable[Node]) -> ScreeningFound:
        sets = self._sets(list(chosen), list(rivals))
        found = screen_off(
            self.study, bank_of(self.lab), sets, patch_sets(self.lab, sets)
        )
        assert found is not None
        return found

    def _sets(self, chosen: list[Node], rivals: list[Node]) -> TestSets:
        everything = list(self.truth.parts)
        return TestSets(
            kinds=("selected", "next_best", "all", NEXT_BEST_ALONE, SELECTED_ALONE),
            masks=self._masks([chosen, rivals, everything, rivals, chosen]),
            kept=self._masks([[], [], [], chosen, rivals]),
        )

    def _masks(self, sets: Iterable[list[Node]]) -> np.ndarray:
        shape, heads = (self.truth.layers, self.truth.heads + 1), self.truth.heads
        return np.stack([
            metrics.node_mask(tuple((n.layer, n.column(heads)) for n in nodes), shape)
            for nodes in sets
        ])  # fmt: skip


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    out = tmp_path_factory.mktemp("screening")
    config = planted_config(out, question_count=4, effect_questions=4)
    checkpoint, truth = open_model(config)
    assert truth is not None
    asked = make_prompts(config, checkpoint)
    names = list(dict.fromkeys(asked.question.tolist()))
    choosing = np.isin(asked.question, names[:2])
    sources = choose_sources(asked.question, asked.gold, choosing, seed=0)
    study = study_questions(asked, names, choosing, sources)
    questions = {question.id: question for question in load_questions(config)}
    facts = tuple(
        planted.facts(rotations(questions[prompt.question])[prompt.rotation])
        for prompt in study.prompts
    )
    lab = lab_of(checkpoint, study, out)
    return Case(truth=truth, study=study, facts=facts, lab=lab)


def _left(found: ScreeningFound) -> tuple[float, float]:
    """What is left of the rivals' effect, and of the set's; the same both ways."""
    shares = []
    for one in (found.next_best, found.selected):
        assert one.sufficiency_left is not None and one.necessity_left is not None
        shares.append(one.sufficiency_left.mean)
    return shares[0], shares[1]


def test_rivals_upstream_of_the_set_act_through_it(case: Case):
    # All that the last token gathers is read by the output nodes alone.
    found = case.screen(case.truth.output, case.truth.upstream_last)
    assert _left(found) == pytest.approx((0, 1), abs=ROUNDING)
    assert found.next_best.necessity_left is not None
    assert found.next_best.necessity_left.mean == pytest.approx(0, abs=ROUNDING)
    assert judge(found) is Screening.SET_CARRIES


def test_a_set_upstream_of_its_rivals_acts_through_them(case: Case):
    found = case.screen(case.truth.upstream_last, case.truth.output)
    assert _left(found) == pytest.approx((1, 0), abs=ROUNDING)
    assert judge(found) is Screening.RIVALS_CARRY


def test_of_two_heads_side_by_side_each_acts_by_itself(case: Case):
    # Neither reads the other, and what amplifies them is linear.
    one, other = case.truth.playing("correct-letter head")
    found = case.screen([one], [other])
    assert _left(found) == pytest.approx((1, 1), abs=ROUNDING)
    assert found.selected.sufficiency is not None
    assert 0.1 < found.selected.sufficiency.mean < 0.9
    assert judge(found) is Screening.APART


def test_what_is_left_follows_from_the_rules_of_the_parts(case: Case):
    # A part of the output, so the rivals keep what they do through the rest.
    chosen = case.truth.playing("correct-letter head")[:1]
    rivals = [*case.truth.upstream_last, *case.truth.playing("amplifier head")]
    found = case.screen(chosen, rivals)
    expected = _expected(case, chosen, rivals), _expected(case, rivals, chosen)
    assert 0.1 < expected[1] < 0.9 and 0.1 < expected[0] < 0.95
    assert (_left(found)[1], _left(found)[0]) == pytest.approx(expected, abs=ROUNDING)


def _expected(case: Case, patched: Iterable[Node], kept: Iterable[Node]) -> float:
    """The share of sufficiency that is left, by the parts' rules alone."""
    test = np.flatnonzero(~case.study.choosing).tolist()
    free, alone = (
        np.mean([_restored(case, prompt, patched, nodes) for prompt in test])
        for nodes in ((), kept)
    )
    return float(alone / free)


def _restored(case: Case, prompt: int, patched, kept) -> float:
    """Net logit that a set gives back to the source's run, for one prompt."""
    rules = {
        node: part.rule
        for node, part in case.truth.parts.items()
        if part.rule is not ideal.writes_nothing
    }
    clean, source = (
        case.facts[each] for each in (prompt, case.study.sources.index[prompt, 0])
    )
    wrote, base = ideal.run(rules, clean).writes, ideal.run(rules, source)
    changes: Mapping = {node: wrote[node] for node in patched if node in rules}
    changes |= {node: base.writes[node] for node in kept if node in rules}
    after = ideal.run(rules, source, writes=changes)
    letters = np.array(clean.letters)
    logits = np.stack([after.last.out[letters], base.last.out[letters]])
    return float(np.subtract(*nets(logits[None], np.array([clean.gold]))[0]))


@pytest.mark.slow
def test_finished_sets_are_not_patched_again_and_new_ones_alone_are(
    case: Case, tmp_path: pathlib.Path
):
    lab = lab_of(case.lab.checkpoint, case.study, tmp_path)
    one, other = case.truth.playing("correct-letter head")
    sets = case._sets([one], [other])
    plain = dataclasses.replace(
        sets, kinds=sets.kinds[:3], masks=sets.masks[:3], kept=sets.kept[:3]
    )
    first = patch_sets(lab, plain)
    tables = set(lab.folder.tables()["joint_tests"])
    both = patch_sets(lab, sets)
    added = set(lab.folder.tables()["joint_tests"]) - tables
    said = [lab.folder.identities("joint_tests")[key]["rows"] for key in added]
    assert [len(rows) for rows in said] == [3, 3]  # two new ones, and all together
    old = both["set"] < 3
    np.testing.assert_array_equal(
        both["sufficiency_logits"][old], first["sufficiency_logits"]
    )
    patch_sets(lab, sets)
    assert set(lab.folder.tables()["joint_tests"]) == tables | added


def test_where_every_node_is_chosen_there_are_no_rivals():
    nodes = ((0, 0), (0, 1))
    selection = metrics.select(np.array([[1.0, 0.4]]), 1.4, share=1.0)
    assert selection.nodes == nodes
    sets = make_sets(selection, (1, 2), random_sets=1, seed=0)
    assert "next_best" not in sets.kinds and not sets.kept.any()
    assert sets.plan().kept is None
