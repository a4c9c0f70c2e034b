"""The study's bookkeeping: what is run, what is read of runs, and who makes a pair."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest

from mcq_jax.metrics import Interval
from mcq_jax.metrics.paired import Verdict
from mcq_jax.results import (
    Followed,
    JointFound,
    JointTestsFindings,
    QuerySwapsFindings,
    SelectionFound,
    SwapsFound,
)
from mcq_jax.studies import cleaning, measuring
from mcq_jax.training import corpus, initialise, optimiser
from mcq_jax.training.corpus import Arm, CorpusRecipe

PLAN = cleaning.Plan(seeds=(3, 4))


def _sure(mean: float) -> Interval:
    return Interval(mean=mean, low=mean, high=mean, questions=40)


def test_what_has_results_is_not_run_again(tmp_path, monkeypatch):
    asked = []

    def run_one(plan, arm, seed):
        asked.append((arm, seed))
        return {"arm": arm.name, "seed": seed}

    monkeypatch.setattr(cleaning, "run_one", run_one)
    plan = dataclasses.replace(PLAN, results=str(tmp_path))
    (tmp_path / "shuffled-003.json").write_text('{"arm": "SHUFFLED", "seed": 3}')
    cleaning.run_all(plan)
    assert asked == [(Arm.FIXED, 3), (Arm.FIXED, 4), (Arm.SHUFFLED, 4)]
    cleaning.run_all(plan)
    assert len(asked) == 3
    found = cleaning.read_results(str(tmp_path))
    assert {(r["arm"], r["seed"]) for r in found} == {
        ("FIXED", 3), ("FIXED", 4), ("SHUFFLED", 3), ("SHUFFLED", 4)
    }  # fmt: skip


def test_a_pair_of_arms_begins_alike_and_reads_the_same_other_text():
    fixed, shuffled = (cleaning.training(PLAN, arm, 3) for arm in PLAN.arms)
    assert fixed.model == shuffled.model
    (one,), (other,) = fixed.members, shuffled.members
    assert (one.seed, one.learning_rate) == (other.seed, other.learning_rate)
    letters = [corpus.VOCABULARY.index(letter) for letter in "ABCDEF"]
    for step in (600, 1500, 5000):  # of two lessons, and of the declared text
        first, second = one.stream.batch(step), other.stream.batch(step)
        np.testing.assert_array_equal(first.weights, second.weights)
        differs = first.ids != second.ids
        assert differs.any() and np.isin(first.ids[differs], letters).all()
    np.testing.assert_array_equal(one.stream.batch(5).ids, other.stream.batch(5).ids)


def test_a_branch_begins_at_the_rate_of_its_trunk_and_ends_at_none():
    trunk = cleaning.training(PLAN, Arm.FIXED, 3)
    branch = cleaning.decayed(trunk, "t99", 4757, 600)
    before, now = (optimiser.schedule(config) for config in (trunk, branch))
    assert float(now(4757)) == float(before(4757)) == pytest.approx(1 / 3)
    assert float(before(3999)) == 1.0
    assert 0 < float(now(5356)) < 1e-3
    assert branch.out != trunk.out and branch.kept_steps == (5357,)


def test_a_curve_is_read_at_its_checkpoints_above_the_floor():
    lines = [{"step": step, "loss": 2.0 + 1 / step} for step in range(1, 9)]
    lines += [{"step": step, "accuracy_plain": a, "accuracy_random": 0.2}
              for step, a in ((0, 0.1), (4, 0.995), (8, 1.0))]  # fmt: skip
    curve = cleaning.curve_of(lines, 2.0)
    assert curve["step"] == [4, 8]
    assert curve["excess"] == pytest.approx([1 / 4, (1 / 7 + 1 / 8) / 2])
    assert curve["accuracy_plain"] == [0.995, 1.0]
    assert cleaning.events_of(curve) == {"t99": 4, "flat": None, "late": 8}
    never = curve | {"accuracy_plain": [0.9, 1.0]}
    assert set(cleaning.events_of(never).values()) == {None}


def _joint(*sets: tuple[str, int, float]) -> JointTestsFindings:
    missing: dict[str, Any] = dict.fromkeys(_fields(SelectionFound))
    selection = SelectionFound(**missing)
    return JointTestsFindings(
        selection=selection,
        sets=tuple(
            JointFound(
                kind=kind, size=size, sufficiency=_sure(share), necessity=None,
                refused="",
            )
            for kind, size, share in sets
        ),
    )  # fmt: skip


def _fields(kind) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def test_nodes_are_read_from_the_rank_and_not_from_other_sets():
    joint = _joint(
        ("cumulative", 1, 0.5), ("cumulative", 2, 0.7), ("selected", 4, 0.9),
        ("random", 3, 0.99), ("next_best", 2, 0.95), ("all", 20, 1.0),
    )  # fmt: skip
    found = measuring._nodes(joint)
    assert found["O1"] == pytest.approx(np.log2(3.0))
    assert found["sufficiency"] == {"1": 0.5, "2": 0.7, "4": 0.9, "20": 1.0}


@pytest.mark.parametrize(
    ("accuracy", "share", "expected"),
    [(0.96, 1.0, 1 / 3), (0.94, 1.0, None), (0.96, 0.4, None)],
)
def test_overlap_is_of_models_that_answer_shuffled_labels_and_show_how(
    accuracy, share, expected
):
    def followed(layer, place, letter):
        return Followed(
            who="residual stream", layer=layer, place=_sure(share * place),
            letter=_sure(share * letter), by_place=(), stays=_sure(0.0), too_few=False,
        )  # fmt: skip

    heads = dataclasses.replace(followed(0, 1.0, 1.0), who="heads", layer=None)
    form = SwapsFound(
        base="permuted", source="permuted", base_accuracy=accuracy,
        source_accuracy=1.0, questions=40,
        followed=(heads, followed(0, 1.0, 0.0), followed(1, 0.5, 1.0),
                  followed(2, 0.5, 1.0)),
    )  # fmt: skip
    found = measuring._overlap(QuerySwapsFindings(forms=(form,), letter_heads=()))
    assert found["O2"] == (None if expected is None else pytest.approx(expected))
    assert found["follows_place"] == [share * place for place in (1.0, 0.5, 0.5)]


def _result(arm: Arm, seed: int, early, late) -> dict:
    jitter = 0.02 * np.random.default_rng((seed, len(arm.name))).normal()
    return {
        "arm": arm.name, "seed": seed,
        "at_t99": {"O1": early[0] + jitter, "O2": early[1]},
        "at_late": {"O1": late[0], "O2": late[1] + jitter},
    }  # fmt: skip


def test_verdicts_are_of_pairs_within_seeds():
    results = [
        _result(Arm.SHUFFLED, seed, (3.0, 0.5), (2.0, 0.5)) for seed in range(10)
    ] + [_result(Arm.FIXED, seed, (3.0, 0.5), (3.2, 0.5)) for seed in range(10)]
    found = cleaning.verdicts(results)
    assert found["O1, arm S"].verdict is Verdict.CLEANER
    assert found["O1, arm S"].mean == pytest.approx(-1.0, abs=0.03)
    assert found["O2, arm S"].verdict is Verdict.NO_CHANGE
    assert found["O1, S - F"].verdict is Verdict.CLEANER
    assert found["O1, S - F"].mean == pytest.approx(-1.2, abs=0.03)
    json.dumps({name: test.mean for name, test in found.items()})


def test_models_that_never_got_there_make_no_pair():
    results = [_result(Arm.SHUFFLED, s, (3.0, 0.5), (2.0, 0.5)) for s in range(10)]
    results += [_result(Arm.FIXED, s, (3.0, 0.5), (3.2, 0.5)) for s in range(10)]
    for result in results[:3]:
        result.pop("at_late")
    found = cleaning.verdicts(results)
    assert {test.pairs for test in found.values()} == {7}
    assert {test.verdict for test in found.values()} == {Verdict.INFEASIBLE}


def test_nothing_is_read_before_all_is_there():
    results = [{"arm": "FIXED", "seed": 3}, {"arm": "SHUFFLED", "seed": 4}]
    assert cleaning.missing(PLAN, results) == ["fixed-004", "shuffled-003"]


def test_the_model_of_the_study_has_the_size_that_is_registered():
    config = corpus.small_model()
    parameters = initialise(config, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    assert 0.19e6 < count < 0.22e6
    longest = max(
        int((row != 0).sum()) for row in corpus.Corpus(CorpusRecipe()).batch(0).ids
    )
    assert longest <= config.context
