"""Edits and circuits survive a file unchanged, and a file cannot run anything."""

import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors
from safetensors.numpy import save_file

from mcq_jax.interventions import (
    Argument,
    Circuit,
    Edge,
    Edit,
    Node,
    Site,
    add,
    apply,
    load_circuit,
    load_edits,
    patch,
    project_out,
    save_circuit,
    save_edits,
    scale,
    set_features,
)
from tests.interventions.single import activation, random
from tests.interventions.test_kinds import bent, dictionary

EDITS = (
    patch(Site.Z, activation(Site.Z)[None, None], layers=[20], heads=[3]),
    add(Site.RESID_POST, random(2, 3, 1, 5), layers=[4, 1], weight=0.5),
    scale(Site.PATTERN, jnp.inf, positions=[[1], [2]], keys=[0]),
    project_out(Site.K, random(2, 5)),
    set_features(Site.RESID_PRE, dictionary(), [2], 1.0),
    patch(Site.EMBED, jnp.nan, weight=0.0),
)
PROVENANCE = {"model": "tiny", "accuracy": 0.5, "question": ["Ä", None]}


def _assert_same(found: Edit, expected: Edit):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_edits_come_back_as_they_were_in_their_order(tmp_path):
    path = tmp_path / "edits.safetensors"
    save_edits(path, EDITS, provenance=PROVENANCE)
    loaded = load_edits(path)
    assert loaded.provenance == PROVENANCE
    for found, expected in zip(loaded.edits, EDITS, strict=True):
        _assert_same(found, expected)


def test_a_file_can_be_read_aloud(tmp_path):
    save_edits(tmp_path / "edits", EDITS[:1], provenance={"model": "tiny"})
    assert str(load_edits(tmp_path / "edits")) == (
        "1. patch z of layer 20, head 3 with a stored source\nmodel: tiny"
    )


def test_a_users_function_comes_back_only_if_it_is_listed(tmp_path):
    path = tmp_path / "edits"
    argument = Argument(jnp.asarray(np.ones((1, 2, 5), ml_dtypes.bfloat16)))
    edit = apply(Site.RESID_PRE, bent, argument, np.int32(3))
    save_edits(path, [edit])
    with pytest.raises(ValueError, match=r"calls .*test_kinds:bent; if you trust it"):
        load_edits(path)
    _assert_same(load_edits(path, functions=[bent]).edits[0], edit)


def test_traced_edits_cannot_be_saved(tmp_path):
    @jax.jit
    def save(value):
        save_edits(tmp_path / "edits", [patch(Site.EMBED, value)])

    with pytest.raises(ValueError, match="traced arrays; save it outside of jit"):
        save(1.0)


def test_files_that_are_not_edits_are_refused(tmp_path):
    path = tmp_path / "edits"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="no safetensors file"):
        load_edits(path)
    save_file({"a": np.ones(1)}, path)
    with pytest.raises(ValueError, match="holds no edits where version 1"):
        load_edits(path)
    header = {"format": "mcq_jax.edits", "version": 2}
    save_file({}, path, metadata={"mcq_jax.edits": json.dumps(header)})
    with pytest.raises(ValueError, match="holds 2 where version 1"):
        load_edits(path)


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path):
    path, words = tmp_path / "edits", {"site": "z", "kind": "ADD"}
    edits = [words | {"function": None, "arguments": 0}]
    header = {"format": "mcq_jax.edits", "version": 1, "edits": edits, "provenance": {}}
    tensors = {"0.layers": np.zeros(1, np.int32)}
    save_file(tensors, path, metadata={"mcq_jax.edits": json.dumps(header)})
    with pytest.raises(ValueError, match="lacks 0.value, 0.weight"):
        load_edits(path)


def test_a_file_that_lost_any_of_its_arrays_is_refused(tmp_path):
    """What is left out means all: without its layers, an edit would be another one."""
    whole, less = tmp_path / "whole", tmp_path / "less"
    save_edits(whole, EDITS)
    with safetensors.safe_open(whole, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    assert {"0.layers", "0.units", "2.positions", "2.keys"} <= tensors.keys()
    for lost in tensors:
        save_file({k: v for k, v in tensors.items() if k != lost}, less, metadata)
        with pytest.raises(ValueError, match=f"lacks {lost}; the file is damaged"):
            load_edits(less)


CIRCUIT = Circuit(
    nodes=(Node(5, 1), Node(3, 2), Node(5)),
    edges=(
        Edge(Node(3, 2), Node(5, 1), Site.Q),
        Edge(Node(5, 1), Node(5), Site.MLP_IN),
        Edge(Node(5), None),
        Edge(None, Node(3, 2), Site.V),
    ),
    provenance=PROVENANCE,
)


def test_a_circuit_comes_back_as_it_was(tmp_path):
    save_circuit(tmp_path / "circuit.json", CIRCUIT)
    assert load_circuit(tmp_path / "circuit.json") == CIRCUIT


def test_a_circuit_reads_in_forward_order():
    assert str(CIRCUIT).splitlines()[:5] == [
        "L3H2 L5H1 L5MLP",
        "L3H2 -> L5H1.q",
        "L5H1 -> L5MLP.mlp_in",
        "L5MLP -> output",
        "embed -> L3H2.v",
    ]


@pytest.mark.parametrize("edge", CIRCUIT.edges, ids=str)
def test_edges_are_read_as_they_are_written(edge: Edge):
    assert Edge.parse(str(edge)) == edge


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L3H2 -> L5H1.z", "at Site.Z; it reads at Site.Q or Site.K or Site.V"),
        ("L3H2 -> L5MLP.q", "at Site.Q; it reads at Site.MLP_IN"),
        ("L3H2 -> L3H1.q", "from L3H2 back to L3H1"),
        ("L3MLP -> L3MLP.mlp_in", "back to L3MLP"),
        ("L3H2", "no edge is written 'L3H2'; write"),
    ],
)
def test_edges_that_cannot_be_are_refused(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        Edge.parse(text)


def test_a_circuit_lists_the_nodes_of_its_edges():
    with pytest.raises(ValueError, match="edges end at L5H1, not among the nodes"):
        Circuit(nodes=(Node(3, 2),), edges=(Edge(Node(3, 2), Node(5, 1), Site.K),))


def test_another_file_is_no_circuit(tmp_path):
    path = tmp_path / "circuit.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="None version None; version 1 of"):
        load_circuit(path)
