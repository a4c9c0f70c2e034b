"""Transfer: one planted circuit for two tasks, none for a third."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from mcq_jax import metrics, prompts
from mcq_jax.experiments import (
    Behaviour,
    NodeEffects,
    PromptOptions,
    RunConfig,
    Transfer,
    run,
)
from mcq_jax.report import sections, words
from mcq_jax.report.section import Section
from mcq_jax.results import RunResults, TransferFindings
from tests.experiments.runs import page_with, planted_config, quiet
from tests.report import examples


def _card(out: pathlib.Path) -> RunConfig:
    """Planted questions; the same with permuted labels; and with unlabelled answers.

    The last asks for the option's words, which the circuit cannot write.
    """
    listed = (
        Behaviour(), NodeEffects(),
        Transfer(tasks=("permuted", "words"), random_sets=2, permutations=200),
    )  # fmt: skip
    config = planted_config(out, experiments=listed)
    permuted = PromptOptions(
        name="permuted", mutation="permuted", questions=config.questions,
        question_count=config.question_count, seed=3,
    )  # fmt: skip
    words = PromptOptions(
        name="words", questions=str(_pairs(out / "pairs.jsonl")), are_pairs=True
    )
    return dataclasses.replace(config, other_prompts=(permuted, words))


def _pairs(file: pathlib.Path) -> pathlib.Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    words = ["apple", "bell", "cloud", "door", "flower", "garden", "horse", "island"]
    lines = [
        {
            "clean": f"Which is {a} ? {a} {b} {c} {a}", "answers": [f" {b}", f" {c}"],
            "source": f"Which is {a} ? {a} {c} {b} {a}", "gold": 0, "source_gold": 1,
        }
        for a, b, c in zip(words, words[1:] + words[:1], words[3:] + words[:3],
                           strict=True)
    ]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def transferred(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    out = tmp_path_factory.mktemp("transfer")
    found, folder = run(_card(out / "run"), quiet())
    page_with(found, folder, "transfer")
    return found


def _found(run: RunResults) -> TransferFindings:
    found = run.get(TransferFindings)
    assert found is not None
    return found


@pytest.mark.slow
def test_a_task_that_the_model_does_not_do_has_nothing_to_transfer(transferred):
    found = _found(transferred)
    assert [task.is_studied for task in found.tasks] == [True, True, False]
    assert not found.tasks[-1].nodes and found.tasks[-1].reached is None
    assert {one.target for one in found.sets} == {"main", "permuted"}


@pytest.mark.slow
def test_the_planted_circuit_is_one_for_both_tasks(transferred):
    found = _found(transferred)
    by = {(s.source, s.target, s.kind): s for s in found.sets}
    for source, target in (("main", "permuted"), ("permuted", "main")):
        other = by[source, target, "other task"].sufficiency
        own, drawn = by[target, target, "own"], by[source, target, "random"]
        assert other is not None and own.sufficiency and drawn.sufficiency
        assert other.mean == pytest.approx(own.sufficiency.mean, abs=0.05)
        assert other.low > 0.8 > 0.5 > drawn.sufficiency.high
    [overlap] = found.overlaps
    main, permuted, _ = found.tasks
    assert set(overlap.shared) == set(main.nodes) & set(permuted.nodes)
    assert overlap.jaccard > overlap.jaccard_chance and overlap.jaccard_p < 0.05
    assert overlap.rank_correlation > 0.5 and overlap.rank_p == 1 / 201


@pytest.mark.slow
def test_planted_heads_ask_in_the_same_subspace_on_both_tasks(transferred):
    found = _found(transferred)
    assert {s.kind for s in found.subspaces} == {"own", "other task", "random"}
    for one in found.subspaces:
        assert one.heads and one.rank == 3
        assert one.carried is not None and one.carried.low > 0.5
        assert one.recovered is not None
        # Queries are four points, those of places: three dimensions hold them all.
        if one.parts == "queries" and one.kind != "random":
            assert one.recovered.mean == pytest.approx(1, abs=1e-3)
        if one.kind == "random":
            assert one.recovered.high < 0.8


@pytest.mark.slow
def test_the_page_has_a_row_per_set_and_a_column_per_task(transferred):
    found = _found(transferred)
    tables = {one.title: one.table for one in _section(found).tables}
    necessity = tables["Necessity"]
    assert necessity.columns[3:] == ("main", "permuted")
    rows = {(row.name, row.cells[0].text): row.cells[2:] for row in necessity.rows}
    assert len(rows) == len(necessity.rows) == len(found.sets) / 2
    for one in found.sets:
        is_chosen = one.kind in ("own", "other task")
        cells = rows[one.source, "chosen" if is_chosen else one.kind]
        assert one.necessity is not None
        said = cells[("main", "permuted").index(one.target)].text
        assert said == words.number(one.necessity.mean)
    # Two ways, each with three kinds of part; rivals stand in the same row.
    kept = tables["Subspaces of the correct-letter heads"].rows
    assert len(kept) == len(found.subspaces) / 3 == 6
    first = next(row for row in kept if row.name == "permuted")
    same = [s for s in found.subspaces if s.target == "main" and s.parts == "queries"]
    assert [cell.text for cell in first.cells[3:6]] == [
        words.number(s.recovered.mean)
        for kind in ("other task", "own", "random")
        for s in same
        if s.kind == kind and s.recovered is not None
    ]


def _section(found: TransferFindings) -> Section:
    run = examples.changed(examples.open_gate(), transfer=found)
    return {section.anchor: section for section in sections.sections(run)}["transfer"]


def _statuses(found: TransferFindings) -> list[str]:
    return [claim.status for claim in _section(found).claims]


def _card_value(found: TransferFindings) -> list[str]:
    return [card.value for card in _section(found).cards]


@pytest.mark.slow
def test_a_set_carries_over_only_beyond_the_level_and_random_sets(transferred):
    found = _found(transferred)
    assert _statuses(found) == ["supported"] * 2

    def with_recovery(mean: float, width: float) -> TransferFindings:
        about = metrics.Interval(
            mean=mean, low=mean - width, high=mean + width, questions=9
        )
        return dataclasses.replace(
            found,
            sets=tuple(
                dataclasses.replace(one, sufficiency=about)
                if one.kind == "other task"
                else one
                for one in found.sets
            ),
        )

    assert _card_value(found) == ["2"] and _card_value(with_recovery(0.3, 0.1)) == ["0"]
    assert _statuses(with_recovery(0.3, 0.1)) == ["contradicted"] * 2
    assert _statuses(with_recovery(0.6, 0.2)) == ["undecided"] * 2
    unknown = dataclasses.replace(found, level=None)
    assert _statuses(unknown) == ["not testable here"] * 2 and not _card_value(unknown)


def test_prompts_that_the_card_does_not_have_are_named(tmp_path: pathlib.Path):
    listed = (Behaviour(), NodeEffects(), Transfer(tasks=("odd",)))
    with pytest.raises(ValueError, match="names the prompts 'odd'; the card has main"):
        run(planted_config(tmp_path, experiments=listed), quiet())
    with pytest.raises(ValueError, match="name at least one prompt set"):
        Transfer(tasks=())


def test_overlap_is_what_counting_says_and_chance_is_hypergeometric():
    generator = np.random.default_rng(0)
    first = generator.normal(size=(6, 9))
    sets = [((0, 0), (1, 1), (2, 8)), ((0, 0), (2, 8), (3, 3), (4, 4))]
    found = metrics.overlap(first, first**3, (sets[0], sets[1]), permutations=4000)
    assert found.jaccard == 2 / 5 and set(found.shared) == {(0, 0), (2, 8)}
    assert found.rank_correlation == pytest.approx(1) and found.rank_p < 0.001
    other = generator.normal(size=(6, 9))
    ranks = [np.argsort(np.argsort(np.abs(a).ravel())) for a in (first, other)]
    wanted = np.corrcoef(ranks[0], ranks[1])[0, 1]
    unlike = metrics.overlap(first, other, (sets[0], sets[1]), permutations=200)
    assert unlike.rank_correlation == pytest.approx(wanted)
    # Of 48 heads two in one set and three in the other, of 6 blocks one in each.
    draws = []
    for _ in range(4000):
        heads = len(set(generator.choice(48, 2, False)) & {0, 1, 2})
        shared = heads + (generator.integers(6) == 0)
        draws.append(shared / (7 - shared))
    assert found.chance == pytest.approx(np.mean(draws), abs=0.01)


def test_word_repetition_differs_only_in_what_came_after():
    found = prompts.word_repetition(40, seed=1)
    assert len({pair.content_id for pair in found.pairs}) == 40
    golds = np.array([pair.gold for pair in found.pairs])
    assert (np.bincount(golds) == 10).all()
    for pair in found.pairs:
        clean, source = pair.clean.split(), pair.source.split()
        assert clean[-3:] == source[-3:] == clean[1:4]
        after = clean[1 + 3]
        assert pair.answers[pair.gold] == f" {after}"
        assert pair.source_gold is not None
        assert pair.answers[pair.source_gold] == f" {source[1 + 3]}"
        assert sorted(clean) == sorted(source) and clean != source
