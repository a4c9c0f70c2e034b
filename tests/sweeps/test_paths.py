"""Path patching equals its definition, and its effects add up where they must."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Node, Site, patch
from mcq_jax.model import Activation, ModelConfig, Norm, forward
from mcq_jax.sweeps import PATH_SITES, Edge, Receiver, patch_paths, paths_from
from tests import tiny
from tests.sweeps.path_loops import FINAL, Loops

ROWS, POSITIONS = 2, 4
# Relative to the largest logit, in float32.
ROUNDING = 1e-5
# Two query heads share each of two key heads.
CONFIG = ModelConfig(
    layers=3,
    width=6,
    kv_heads=2,
    group=2,
    head_width=3,
    neurons=5,
    vocabulary=7,
    context=8,
    activation=Activation.RELU,
    gated=False,
    rotary_width=0,
)
# One feed-forward block's neurons all stay above 0, so that ReLU does nothing.
LINEAR = dataclasses.replace(CONFIG, norm=Norm.NONE, mlp_bias=True)
ALWAYS_ON = 40.0
HEAD = 1
SENDER = Node(0, HEAD)
TOKENS = tiny.random_tokens(CONFIG, ROWS, POSITIONS)
SOURCE = tiny.random_tokens(CONFIG, ROWS, POSITIONS, seed=1)


@functools.cache
def _parameters(config: ModelConfig):
    parameters = tiny.random_parameters(config)
    if config.mlp_bias:
        for group in parameters.layers:
            bias = group["feedforward"]["up_bias"]
            group["feedforward"]["up_bias"] = bias + ALWAYS_ON
    return parameters


@functools.cache
def _seen(config: ModelConfig, *, of_source: bool):
    tokens = SOURCE if of_source else TOKENS
    capture = (*PATH_SITES, Site.PATTERN, Site.LOGITS)
    run = forward(_parameters(config), tokens, config=config, capture=capture)
    return run.activations


def _edits(edges, config=CONFIG, **options):
    clean, source = (_seen(config, of_source=flag) for flag in (False, True))
    weights = _parameters(config)
    return patch_paths(weights, clean, source, edges, config=config, **options)


def _logits(edits, config=CONFIG):
    return forward(_parameters(config), TOKENS, edits, config=config).logits


def _assert_close(found, expected):
    atol = ROUNDING * float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def _into(site: Site, layer: int, head: int | None = None) -> Receiver:
    return Receiver(site, Node(layer, head))


EDGE_SETS = {
    "a query": [Edge(Node(0), _into(Site.Q, 1, 3))],
    "keys as one of two heads reads them, at some positions": [
        Edge(SENDER, _into(Site.K, 1, 2), positions=[[0, 2]])
    ],
    "values of both heads that share them, from different senders": [
        Edge(SENDER, _into(Site.V, 1, 2)),
        Edge(Node(0), _into(Site.V, 1, 3)),
    ],
    "a feed-forward block, from a head beside it": [
        Edge(Node(1, 0), _into(Site.MLP_IN, 1))
    ],
    "one path of many inputs to the logits, and the embedding's own": [
        Edge(SENDER, _into(Site.Q, 1, 0)),
        Edge(Node(0), _into(Site.V, 1, 0), positions=[[1, 2]]),
        Edge(Node(0), _into(Site.K, 1, 1)),
        Edge(Node(1, 0), _into(Site.MLP_IN, 1)),
        Edge(Node(1, 1), _into(Site.MLP_IN, 1), positions=[[3]]),
        Edge(Node(1), _into(Site.V, 2, 3)),
        Edge(Node(2, 3), FINAL),
        Edge(None, FINAL, positions=[[3]]),
    ],
}


@pytest.mark.parametrize("name", EDGE_SETS)
def test_patched_paths_equal_their_definition_in_nested_loops(name: str):
    edges = EDGE_SETS[name]
    found = _logits(_edits(edges))
    clean = _seen(CONFIG, of_source=False)[Site.LOGITS]
    assert (jnp.abs(found - clean).max(axis=(1, 2)) > 1e-3).all()
    loops = Loops(_parameters(CONFIG), CONFIG)
    expected = np.stack(
        [
            loops.patched(tokens, source, edges)
            for tokens, source in zip(TOKENS, SOURCE, strict=True)
        ]
    )
    _assert_close(found, expected)


def test_all_paths_from_a_sender_amount_to_patching_it():
    z = _seen(CONFIG, of_source=True)[Site.Z][:1]
    head = patch(Site.Z, z, layers=(SENDER.layer,), heads=[HEAD])
    _assert_close(_logits(_edits(paths_from(SENDER, CONFIG))), _logits([head]))


def test_direct_and_indirect_effects_add_up_to_the_total_on_a_linear_model():
    seen = _seen(LINEAR, of_source=False)
    layers = range(LINEAR.layers)
    freeze = patch(Site.PATTERN, seen[Site.PATTERN], layers=layers)
    into = (Site.V, Site.MLP_IN, Site.FINAL_RESID)
    edges = paths_from(SENDER, LINEAR, into=into)
    is_direct = [edge.sender == SENDER and edge.receiver == FINAL for edge in edges]
    direct = [edge for edge, is_it in zip(edges, is_direct, strict=True) if is_it]
    indirect = [edge for edge, is_it in zip(edges, is_direct, strict=True) if not is_it]
    assert len(direct) == 1

    def effect(edits):
        return _logits((*edits, freeze), LINEAR) - seen[Site.LOGITS]

    z = _seen(LINEAR, of_source=True)[Site.Z][:1]
    total = effect([patch(Site.Z, z, heads=[HEAD])])
    parts = [effect(_edits(some, LINEAR)) for some in (direct, indirect)]
    largest = float(jnp.abs(seen[Site.LOGITS]).max())
    np.testing.assert_allclose(sum(parts), total, rtol=0, atol=ROUNDING * largest)
    assert all(jnp.abs(part).max() > 0.01 for part in parts)


def test_a_direct_effect_under_a_frozen_norm_is_its_projection():
    edge = Edge(SENDER, FINAL, positions=[[2], [1]])
    clean, source = _both_runs()
    weights = _parameters(CONFIG)
    output = np.asarray(weights.layers[0]["attention"]["output"])[0, 0, 1]
    change = (source[Site.Z] - clean[Site.Z])[0, :, :, 0, 1] @ output
    at = np.arange(POSITIONS) == np.array([[2], [1]])
    gain, table = (np.asarray(weights.unembed["~"][n]) for n in ("norm_gain", "table"))
    direction = change * at[..., None] * clean[Site.FINAL_SCALE] * gain
    expected = clean[Site.LOGITS] + direction @ table.T
    _assert_close(_logits(_edits([edge], freeze_norms=True)), expected)
    free = _logits(_edits([edge]))
    assert np.abs(free - expected).max() > 1e-3


def test_a_frozen_norm_of_a_receiver_is_that_of_its_clean_input():
    edge = Edge(None, _into(Site.Q, 1, 2))
    (edit,) = _edits([edge], freeze_norms=True)
    clean, source = _both_runs()
    group = _parameters(CONFIG).layers[1]["attention"]
    change = source[Site.EMBED] - clean[Site.EMBED]
    scaled = (clean[Site.RESID_PRE][1] + change) * clean[Site.ATTN_SCALE][1]
    gain, query = (np.asarray(group[name])[0] for name in ("norm_gain", "query"))
    _assert_close(edit.value[0, :, :, 1, 0], scaled * gain @ query[:, 1, 0])


def _both_runs() -> list[dict[Site, np.ndarray]]:
    runs = (_seen(CONFIG, of_source=flag) for flag in (False, True))
    return [{site: np.asarray(seen) for site, seen in run.items()} for run in runs]


@pytest.mark.parametrize("feature", ["parallel", "post_norm"])
def test_models_whose_paths_are_others_are_refused(feature: str):
    config = dataclasses.replace(CONFIG, **{feature: True})
    with pytest.raises(ValueError, match=f"a model with {feature}=True"):
        patch_paths(_parameters(CONFIG), {}, {}, [], config=config)


def test_edges_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="from L1MLP to Site.Q of L1H0, which is not"):
        Edge(Node(1), _into(Site.Q, 1, 0))
    with pytest.raises(ValueError, match="from L2H0 to Site.MLP_IN of L1MLP"):
        Edge(Node(2, 0), _into(Site.MLP_IN, 1))
    with pytest.raises(ValueError, match="no receiver has Site.K of L1MLP"):
        Receiver(Site.K, Node(1))
    with pytest.raises(ValueError, match="no receiver has Site.FINAL_RESID of L1H0"):
        Receiver(Site.FINAL_RESID, Node(1, 0))


def test_sets_of_edges_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no edges; give at least one"):
        _edits([])
    with pytest.raises(ValueError, match="an edge names L0H9; the model has 3 layers"):
        _edits([Edge(Node(0, 9), FINAL)])
    with pytest.raises(ValueError, match="2 edges from L0H1 to Site.FINAL_RESID"):
        _edits([Edge(SENDER, FINAL), Edge(SENDER, FINAL, positions=[[0]])])
    clean = dict(_seen(CONFIG, of_source=False))
    source = dict(clean)
    del source[Site.Z]
    with pytest.raises(ValueError, match="Site.Z is missing from"):
        patch_paths(
            _parameters(CONFIG), clean, source, [Edge(None, FINAL)], config=CONFIG
        )
