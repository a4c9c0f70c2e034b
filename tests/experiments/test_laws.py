"""What must hold of any run, looked at in one planted circuit where all is known."""

import numpy as np
import pytest

from mcq_jax import planted
from mcq_jax.experiments import JointTests
from mcq_jax.experiments.pipeline import open_model
from mcq_jax.experiments.prompt_set import load_questions, make_prompts
from mcq_jax.prompts import rotations
from mcq_jax.results import NodeFound, PlantedTruthFindings

# Effects that are exactly 0, in float32, as a share of the largest effect.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def nodes(finished) -> dict[str, NodeFound]:
    return {node.name: node for node in finished.found.nodes}


@pytest.fixture(scope="module")
def by_role(finished, nodes) -> dict[str, list[NodeFound]]:
    _, truth = open_model(finished.config)
    assert truth is not None
    roles: dict[str, list[NodeFound]] = {}
    for node, role in truth.roles.items():
        roles.setdefault(role, []).append(nodes[str(node)])
    return roles


@pytest.fixture(scope="module")
def largest(nodes) -> float:
    return max(node.total["rotation"].mean for node in nodes.values())


def test_all_nodes_together_recover_everything(finished):
    (every,) = (row for row in finished.found.sets if row.kind == "all")
    assert every.size == len(finished.found.nodes)
    for recovery in (every.sufficiency, every.necessity):
        assert recovery is not None
        ends = (recovery.mean, recovery.low, recovery.high)
        assert ends == pytest.approx((1, 1, 1), abs=ROUNDING)


def test_the_chosen_nodes_recover_most_and_random_ones_nothing(finished):
    rows = {row.kind: row for row in finished.found.sets}
    selected, random = rows["selected"].sufficiency, rows["random"].sufficiency
    assert selected is not None and random is not None
    assert selected.low > JointTests().selection_share
    assert abs(random.mean) < 0.2
    assert rows["selected"].size == rows["random"].size == rows["next_best"].size


def test_recovery_rises_along_the_ranking_as_far_as_the_chosen_set(finished):
    selected = len(finished.found.selection.nodes)
    curve = [
        row.sufficiency.mean
        for row in finished.found.sets
        if row.kind == "cumulative" and row.size <= selected
    ]
    assert len(curve) >= 2 and curve == sorted(curve)


def test_contributions_add_up_to_the_logits(finished):
    error = finished.found.effects.conservation_error
    assert error < ROUNDING * finished.found.behaviour.net_logit.mean


def test_effects_are_those_that_follow_from_the_recipe(finished, nodes):
    checkpoint, truth = open_model(finished.config)
    questions = {q.id: q for q in load_questions(finished.config)}
    facts = [
        planted.facts(rotations(questions[prompt.question])[prompt.rotation])
        for prompt in make_prompts(finished.config, checkpoint).prompts
    ]
    table = finished.folder.read("node_effects")
    for kind in ("rotation", "other", "placebo"):
        rows = table["source"] == kind
        pairs = zip(table["prompt"][rows], table["source_prompt"][rows], strict=True)
        pairs = sorted({(int(own), int(source)) for own, source in pairs})
        assert len(pairs) == len(facts)  # one source of the kind for each prompt
        expected = np.mean(
            [_analytic(truth, facts[own], facts[source]) for own, source in pairs], 0
        )
        scale = np.abs(expected).max()
        for node in nodes.values():
            column = checkpoint.config.heads if node.head < 0 else node.head
            found = (node.direct[kind].mean, node.total[kind].mean)
            np.testing.assert_allclose(
                found, expected[:, node.layer, column], rtol=0, atol=1e-4 * scale
            )


def _analytic(truth, own, source) -> np.ndarray:  # [direct and total, layer, node]
    """Effects in net logits, from the rules of the parts alone."""

    def net(logits):
        return logits[..., own.gold] - np.delete(logits, own.gold, -1).mean(-1)

    written = truth.contributions(own) - truth.contributions(source, read_as=own)
    patched = truth.patched_logits(own, source)
    return np.stack([net(written), net(truth.answer_logits(own)) - net(patched)])


def test_pointers_do_nothing_under_a_source_with_the_same_gold(by_role, largest):
    for node in by_role["correct-letter head"]:
        for effect in (node.direct, node.total):
            assert abs(effect["placebo"].mean) < ROUNDING * largest
            assert effect["rotation"].low > 0.05 * largest
            assert effect["other"].low > 0.05 * largest


def test_readers_of_words_do_nothing_within_a_question(by_role, largest):
    (reader,) = by_role["reader head"]
    assert abs(reader.total["rotation"].mean) < ROUNDING * largest
    assert reader.total["other"].mean > 0.05 * largest
    assert reader.total["placebo"].mean > 0.05 * largest


def test_what_is_upstream_has_a_total_and_no_direct_effect(by_role, largest):
    (block,) = by_role["agreeing block"]
    assert abs(block.direct["rotation"].mean) < ROUNDING * largest
    assert block.total["rotation"].low > 0.05 * largest


def test_heads_without_a_gold_letter_have_a_bias_and_no_effect(by_role, largest):
    (head,) = by_role["single-letter head"]
    assert abs(head.direct["rotation"].mean) < ROUNDING * largest
    assert abs(head.selectivity) < ROUNDING * largest
    assert max(head.letter_prior) > 0.01 * largest


def test_the_loss_effects_parts_add_up(nodes):
    for node in nodes.values():
        parts = node.loss_outside.mean + node.loss_inside.mean
        assert node.loss.mean == pytest.approx(parts, abs=1e-5)


def test_only_nodes_of_the_circuit_are_significant(finished, nodes):
    planted = finished.found.need(PlantedTruthFindings).planted
    significant = {node.name for node in nodes.values() if node.p_value < 0.05}
    assert significant <= set(planted["output"])
    letter_heads = {n.name for n in nodes.values() if n.head_class == "correct_letter"}
    assert letter_heads and letter_heads <= significant


def test_the_tables_hold_every_prompt_kind_and_node(finished):
    table = finished.folder.read("node_effects")
    found = finished.found
    rows = found.effects.prompts * 3 * len(found.nodes)
    assert len(table["prompt"]) == rows
    assert set(table["node"].tolist()) == {node.name for node in found.nodes}
    same_gold = table["gold"] == _gold_of(table, "source_prompt")
    np.testing.assert_array_equal(same_gold, table["source"] == "placebo")


def _gold_of(table, column):
    gold = dict(zip(table["prompt"].tolist(), table["gold"].tolist(), strict=True))
    return np.array([gold[prompt] for prompt in table[column].tolist()])
