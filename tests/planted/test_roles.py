"""Every part does what the story says of it, and nothing else."""

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Edit, Node, Site, all_nodes, scale
from mcq_jax.planted import Agreement, Fate, Planted, Variant, plant
from mcq_jax.prompts import rotations
from tests.planted.asked import ROWS, Asked, ask, replace_node, story_nodes

# As shares of the logit scale: what counts as a change, and what is only rounding.
CHANGE, ROUNDING = 1e-2, 1e-4

MODELS: dict[str, Planted] = {
    variant.name: plant(10 + index, choices=4, variant=variant)
    for index, variant in enumerate(Variant)
}
models = pytest.mark.parametrize("planted", MODELS.values(), ids=MODELS)


def _prompts(planted: Planted, *, seed: int = 0) -> Asked:
    return ask(
        planted,
        [
            shifted
            for question in planted.questions(ROWS // planted.choices, seed=seed)
            for shifted in rotations(question)
        ],
    )


def _zeroed(asked: Asked, *nodes: Node, earlier: bool) -> np.ndarray:
    """Answer logits with nodes at zero, at earlier tokens or at the last one."""
    at_last = np.arange(asked.ids.shape[1])[None] == asked.last  # [row, position]
    where = (~at_last if earlier else at_last).astype(np.float32)[None]
    edits: list[Edit] = []
    for node in nodes:
        site, weight = Site.MLP_OUT, where[..., None]
        if node.head is not None:
            is_head = np.arange(asked.planted.config.heads) == node.head
            site = Site.Z
            weight = where[..., None, None, None] * is_head[:, None, None]
        edits.append(scale(site, 0.0, layers=[node.layer], weight=weight))
    return asked.logits(*edits)


def _change(asked: Asked, logits: np.ndarray) -> float:
    clean = asked.logits()
    return float(np.abs(logits - clean).max() / np.abs(clean).max())


@models
def test_every_node_is_in_exactly_one_of_the_four_sets(planted: Planted):
    truth = planted.truth
    sets = (
        truth.output,
        truth.upstream_last,
        truth.upstream_elsewhere,
        truth.inert,
    )
    nodes = all_nodes(planted.config.layers, planted.config.heads)
    assert sorted(node for group in sets for node in group) == sorted(nodes)
    assert set(truth.roles) == set(nodes)
    assert set(truth.classes) == {node for node in nodes if node.head is not None}


@pytest.mark.few
@models
def test_only_nodes_said_to_act_earlier_act_at_earlier_tokens(planted: Planted):
    asked = _prompts(planted)
    for node in story_nodes(planted):
        change = _change(asked, _zeroed(asked, node, earlier=True))
        if node in planted.truth.upstream_elsewhere:
            assert change > CHANGE, f"{node} {planted.truth.roles[node]}"
        else:
            assert change < ROUNDING, f"{node} {planted.truth.roles[node]}"
    others = planted.truth.inert | planted.truth.upstream_last | planted.truth.output
    assert _change(asked, _zeroed(asked, *others, earlier=True)) < ROUNDING


@models
def test_nodes_said_to_act_earlier_do_nothing_at_the_last_token(planted: Planted):
    asked = _prompts(planted)
    nodes = planted.truth.upstream_elsewhere
    assert _change(asked, _zeroed(asked, *nodes, earlier=False)) < ROUNDING


@pytest.mark.few
@models
def test_inert_nodes_may_be_resampled_all_together(planted: Planted):
    asked, source = _prompts(planted), _prompts(planted, seed=5)
    outputs = source.node_outputs()
    edits = [replace_node(asked, node, outputs) for node in planted.truth.inert]
    assert _change(asked, asked.logits(*edits)) < ROUNDING


@models
def test_the_backup_speaks_only_when_a_correct_letter_head_is_zeroed(planted: Planted):
    asked, truth = _prompts(planted), planted.truth
    [backup], pointers = (
        truth.playing("backup head"),
        truth.playing("correct-letter head"),
    )
    assert _change(asked, _zeroed(asked, backup, earlier=False)) < ROUNDING
    for silenced in (pointers[:1], pointers):
        without_both = _zeroed(asked, *silenced, backup, earlier=False)
        without_heads = _zeroed(asked, *silenced, earlier=False)
        gained = (without_heads - without_both)[np.arange(len(asked.gold)), asked.gold]
        assert gained.min() > 1


def test_one_gatherer_is_enough_for_or_and_not_for_and():
    for agreement in Agreement:
        planted = plant(4, agreement=agreement)
        asked, gatherers = _prompts(planted), planted.truth.playing("content gatherer")
        for gatherer in gatherers:
            change = _change(asked, _zeroed(asked, gatherer, earlier=False))
            assert change < ROUNDING if agreement is Agreement.OR else change > CHANGE
        change = _change(asked, _zeroed(asked, *gatherers, earlier=False))
        assert change > CHANGE


@models
def test_the_junk_writer_looks_right_and_writes_nothing(planted: Planted):
    asked, truth = _prompts(planted), planted.truth
    [node] = truth.playing("diagonal junk writer")
    _, found = asked.run(
        capture=[Capture(site=Site.PATTERN, positions=jnp.asarray(asked.last))]
    )
    rows = np.arange(len(asked.gold))
    pattern = np.asarray(found[Site.PATTERN])[node.layer, rows, node.head, 0, 0]
    is_right_label = asked.ids == asked.answer_ids[rows, asked.gold][:, None]
    assert (pattern * is_right_label).sum(-1).min() > 0.7
    assert node in truth.inert
    assert truth.direct_logit_attribution()[node] == 0


def test_the_binder_counts_only_where_letters_are_read():
    for variant, planted in MODELS.items():
        [binder] = planted.truth.playing("binder head")
        is_used = planted.truth.parts[binder].fate is Fate.UPSTREAM_ELSEWHERE
        assert is_used == (variant != "ORDINAL")
