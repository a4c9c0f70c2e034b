"""Path patching equals its definition, and its effects add up where they must."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Circuit, Edge, Node, Site, patch
from mcq_jax.model import Activation, ModelConfig, Norm, forward
from mcq_jax.paths import PATH_SITES, patch_paths, paths_from
from tests import tiny
from tests.paths.path_loops import Loops

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


# By edge as it is written: where it counts.
EDGE_SETS = {
    "a query": {"L0MLP -> L1H3.q": None},
    "keys as one of two heads reads them, at some positions": {
        "L0H1 -> L1H2.k": [[0, 2]]
    },
    "values of both heads that share them, from different senders": {
        "L0H1 -> L1H2.v": None,
        "L0MLP -> L1H3.v": None,
    },
    "a feed-forward block, from a head beside it": {"L1H0 -> L1MLP.mlp_in": None},
    "one path of many inputs to the logits, and the embedding's own": {
        "L0H1 -> L1H0.q": None,
        "L0MLP -> L1H0.v": [[1, 2]],
        "L0MLP -> L1H1.k": None,
        "L1H0 -> L1MLP.mlp_in": None,
        "L1H1 -> L1MLP.mlp_in": [3],
        "L1MLP -> L2H3.v": None,
        "L2H3 -> output": None,
        "embed -> output": [[3]],
    },
}


@pytest.mark.parametrize("name", EDGE_SETS)
def test_patched_paths_equal_their_definition_in_nested_loops(name: str):
    where = {Edge.parse(edge): positions for edge, positions in EDGE_SETS[name].items()}
    given = {edge: positions for edge, positions in where.items() if positions}
    found = _logits(_edits(list(where), positions=given))
    clean = _seen(CONFIG, of_source=False)[Site.LOGITS]
    assert (jnp.abs(found - clean).max(axis=(1, 2)) > 1e-3).all()
    loops = Loops(_parameters(CONFIG), CONFIG)
    expected = np.stack(
        [
            loops.patched(tokens, source, where)
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
    is_direct = [edge == Edge(SENDER, None) for edge in edges]
    direct = [edge for edge, is_it in zip(edges, is_direct, strict=True) if is_it]
    indirect = [edge for edge, is_it in zip(edges, is_direct, strict=True) if not is_it]
    assert len(direct) == 1

    def effect(edits):
        return _logits((*edits, freeze), LINEAR) - seen[Site.LOGITS]

    z = _seen(LINEAR, of_source=True)[Site.Z][:1]
    total = effect([patch(Site.Z, z, layers=[0], heads=[HEAD])])
    parts = [effect(_edits(some, LINEAR)) for some in (direct, indirect)]
    largest = float(jnp.abs(seen[Site.LOGITS]).max())
    np.testing.assert_allclose(sum(parts), total, rtol=0, atol=ROUNDING * largest)
    assert all(jnp.abs(part).max() > 0.01 for part in parts)


def test_a_direct_effect_under_a_frozen_norm_is_its_projection():
    edge = Edge(SENDER, None)
    where = {edge: [[2], [1]]}
    clean, source = _both_runs()
    weights = _parameters(CONFIG)
    output = np.asarray(weights.layers[0]["attention"]["output"])[0, 0, 1]
    change = (source[Site.Z] - clean[Site.Z])[0, :, :, 0, 1] @ output
    at = np.arange(POSITIONS) == np.array([[2], [1]])
    unembed = weights.unembedding["~"]
    gain, table = (np.asarray(unembed[name]) for name in ("norm_gain", "table"))
    direction = change * at[..., None] * clean[Site.FINAL_SCALE] * gain
    expected = clean[Site.LOGITS] + direction @ table.T
    _assert_close(_logits(_edits([edge], positions=where, freeze_norms=True)), expected)
    free = _logits(_edits([edge], positions=where))
    assert np.abs(free - expected).max() > 1e-3


def test_a_frozen_norm_of_a_receiver_is_that_of_its_clean_input():
    edge = Edge.parse("embed -> L1H2.q")
    (edit,) = _edits([edge], freeze_norms=True)
    clean, source = _both_runs()
    group = _parameters(CONFIG).layers[1]["attention"]
    change = source[Site.EMBED] - clean[Site.EMBED]
    scaled = (clean[Site.RESID_PRE][1] + change) * clean[Site.ATTN_SCALE][1]
    gain, query = (np.asarray(group[name])[0] for name in ("norm_gain", "query"))
    _assert_close(edit.value[0, :, :, 1, 0], scaled * gain @ query[1, 0].T)


def _both_runs() -> list[dict[Site, np.ndarray]]:
    runs = (_seen(CONFIG, of_source=flag) for flag in (False, True))
    return [{site: np.asarray(seen) for site, seen in run.items()} for run in runs]


def test_a_saved_circuits_edges_are_patched_as_they_are():
    edges = tuple(map(Edge.parse, ("L0H1 -> L1H0.q", "L1H0 -> output")))
    circuit = Circuit(nodes=(Node(0, 1), Node(1, 0)), edges=edges)
    _assert_close(_logits(_edits(circuit.edges)), _logits(_edits(edges[::-1])))


@pytest.mark.parametrize("feature", ["parallel", "post_norm"])
def test_models_whose_paths_are_others_are_refused(feature: str):
    config = dataclasses.replace(CONFIG, **{feature: True})
    with pytest.raises(ValueError, match=f"a model with {feature}=True"):
        patch_paths(_parameters(CONFIG), {}, {}, [], config=config)


def test_edges_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="from L1MLP back to L1H0"):
        Edge(Node(1), Node(1, 0), Site.Q)
    with pytest.raises(ValueError, match="from L2H0 back to L1MLP"):
        Edge(Node(2, 0), Node(1), Site.MLP_IN)
    with pytest.raises(ValueError, match="an edge into L1MLP at Site.K; it reads at"):
        Edge(Node(0), Node(1), Site.K)
    with pytest.raises(ValueError, match="an edge into L1H0 at Site.FINAL_RESID"):
        Edge(Node(0), Node(1, 0), Site.FINAL_RESID)


def test_sets_of_edges_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no edges; give at least one"):
        _edits([])
    with pytest.raises(ValueError, match="an edge names L0H9; the model has 3 layers"):
        _edits([Edge(Node(0, 9), None)])
    with pytest.raises(ValueError, match="L0H1 -> output is given 2 times"):
        _edits([Edge(SENDER, None)] * 2)
    with pytest.raises(ValueError, match="positions are given for L0H1 -> output"):
        _edits([Edge(None, None)], positions={Edge(SENDER, None): [0]})
    clean = dict(_seen(CONFIG, of_source=False))
    source = dict(clean)
    del source[Site.Z]
    with pytest.raises(ValueError, match="Site.Z is missing from"):
        patch_paths(
            _parameters(CONFIG), clean, source, [Edge(None, None)], config=CONFIG
        )
