"""Chosen blocks: a planted amplifier is told from a node of its own, row by row."""

import pathlib
from typing import Any

import numpy as np
import pytest

from mcq_jax.experiments import Behaviour, FeedForward, JointTests, NodeEffects, run
from mcq_jax.experiments.feed_forward import kind_of, neuron_effects, ranked
from mcq_jax.experiments.mediation import Group, measure_mediation
from mcq_jax.experiments.node_effects import bank_of, effects_of, per_node
from mcq_jax.interventions import Node, Site, patch
from mcq_jax.metrics import Interval
from mcq_jax.model import forward
from mcq_jax.results import FeedForwardFindings
from tests.experiments.runs import (
    lab_of,
    nets,
    page_with,
    planted_config,
    quiet,
    random_checkpoint,
)
from tests.experiments.test_node_effects import RANDOM, WIDTH, _study

# As a share of the logit scale, in float32.
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[FeedForwardFindings, str]:
    listed = (
        Behaviour(), NodeEffects(), JointTests(random_sets=1, selection_share=0.98),
        FeedForward(top_neurons=8),
    )  # fmt: skip
    config = planted_config(tmp_path_factory.mktemp("blocks"), experiments=listed)
    results, folder = run(config, quiet())
    values = results.get(FeedForwardFindings)
    assert values is not None
    return values, page_with(results, folder, "feed_forward")


@pytest.mark.slow
def test_a_planted_amplifier_acts_through_heads_alone(found):
    values, _ = found
    [block] = values.blocks
    assert block.kind == "correct-letter-like"
    # It copies eight numbers, four letters up and down; its other neurons do nothing.
    assert block.top_share is not None
    assert block.top_share.mean == pytest.approx(1, abs=1e-3)
    assert block.random_share is not None
    assert block.random_share.mean == pytest.approx(0, abs=1e-3)
    assert block.neurons_for_most <= 8
    rows = {(one.who, one.others): one for one in values.mediation}
    blocks = rows["feed-forward blocks", "heads"]
    heads = rows["heads", "feed-forward blocks"]
    for left in (blocks.direct_left, blocks.total_resampled):
        assert left is not None and abs(left.mean) < 0.1
    # Held or resampled, heads write what they write.
    for left in (heads.direct_left, heads.total_held):
        assert left is not None and left.mean > 0.7
    random = rows["feed-forward blocks", "random heads"]
    assert random.direct_left is not None
    assert random.direct_left.mean == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_the_page_shows_blocks(found):
    values, page = found
    assert values.blocks[0].name in page


@pytest.mark.slow
def test_neurons_add_up_and_rows_equal_whole_passes(tmp_path: pathlib.Path):
    checkpoint = random_checkpoint(RANDOM)
    study = _study(checkpoint, tmp_path)
    lab = lab_of(checkpoint, study, tmp_path)
    blocks = (Node(0), Node(2))
    effects = neuron_effects(lab, blocks)
    direct = per_node(effects_of(lab).direct)
    scale = float(np.abs(direct).max())
    for at, block in enumerate(blocks):
        np.testing.assert_allclose(
            effects[:, at].sum(axis=1), direct[:, block.layer, -1],
            rtol=0, atol=ROUNDING * scale,
        )  # fmt: skip

    heads = (Node(0, 1), Node(1, 5))
    group = Group(who="blocks", others="heads", nodes=blocks, against=heads)
    table = measure_mediation(lab, (group,))
    index = len(study.gold) - 1
    source = int(study.sources.index[index, 0])
    gold = study.gold[[index]]

    def held(prompt: int):
        ids = np.zeros((1, WIDTH), np.int32)
        ids[0, : len(study.prompts[prompt].ids)] = study.prompts[prompt].ids
        return ids, [[len(study.prompts[prompt].ids) - 1]]

    ids, last = held(index)
    other, there = held(source)
    sites = (Site.Z, Site.MLP_OUT)

    def seen(tokens, at):
        run = forward(checkpoint.parameters, tokens, config=RANDOM, capture=sites)
        return {site: a[:, :, np.array(at[0])] for site, a in run.activations.items()}

    own, theirs = seen(ids, last), seen(other, there)

    def net(*patched) -> float:
        edits = []
        for nodes, values in patched:
            for node in nodes:
                site = Site.MLP_OUT if node.head is None else Site.Z
                where: Any = {} if node.head is None else {"heads": [node.head]}
                edits.append(
                    patch(
                        site, values[site][node.layer][None], layers=[node.layer],
                        positions=last, **where,
                    )
                )  # fmt: skip
        logits = forward(checkpoint.parameters, ids, edits, config=RANDOM).logits
        answers = study.prompts[index].answer_ids
        return nets(np.asarray(logits)[:, last[0][0]][:, answers], gold)[0]

    clean, both = net(), net((heads, theirs), (blocks, theirs))
    expected = {
        "total": clean - net((blocks, theirs)),
        "resampled": net((heads, theirs)) - both,
        "held": clean - net((heads, own), (blocks, theirs)),
    }
    size = float(np.ptp(bank_of(lab).answer_logits))
    for name, value in expected.items():
        assert table[name][index, 0] == pytest.approx(float(value), abs=ROUNDING * size)
    assert len({round(float(v), 6) for v in expected.values()}) == 3
    summed = float(direct[index, [0, 2], -1].sum())
    assert table["direct"][index, 0] == pytest.approx(summed, abs=ROUNDING * size)


def test_kinds_of_blocks_by_what_letters_gain():
    def gains(*pairs: tuple[float, float]) -> list[Interval]:
        return [
            Interval(mean=(a + b) / 2, low=a, high=b, questions=9) for a, b in pairs
        ]

    assert kind_of(gains((1, 2), (0.1, 1))) == "correct-letter-like"
    assert kind_of(gains((1, 2), (-0.1, 1))) == "letter-specific"
    assert kind_of(gains((-1, 2), (-0.1, 1))) == "a bias"
    assert kind_of(gains((-2, -1), (-0.1, 1))) == "against the right letter"


def test_neurons_are_ranked_by_what_they_do_of_the_whole():
    """By hand: for the right letter, against it, and beyond the whole at first."""
    for effect, order, needed in (
        ([0.1, 3, 0.9], [1, 2, 0], 2),
        ([-3, 1, -2, 0.5], [0, 2, 3, 1], 1),
        ([2, -1.5, 0.5], [0, 2, 1], 3),
    ):
        found, count = ranked(np.array(effect))
        assert (found.tolist(), count) == (order, needed)
