"""Wrong inputs end in a sentence: what was given, as what, and what to give instead."""

# pyright: reportArgumentType=false

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.checkpoints import Checkpoint, load
from mcq_jax.interventions import (
    Argument,
    Capture,
    Circuit,
    Dictionary,
    Edge,
    Node,
    Site,
    add,
    all_nodes,
    apply,
    freeze,
    from_end,
    from_rows,
    load_circuit,
    load_edits,
    mean_ablate,
    patch,
    project_out,
    resample_ablate,
    save_circuit,
    save_edits,
    set_features,
    zero_ablate,
)
from mcq_jax.model import (
    first_nonfinite,
    forward,
    generate,
    initialise,
    layer_constants,
    parameter_shapes,
    read_by,
    segment_sizes,
    sites_of,
    stack_layers,
)
from mcq_jax.prompts import WordTokenizer
from tests import tiny
from tests.interventions.test_kinds import bent

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
PARAMETERS = tiny.random_parameters(CONFIG)
TOKENS = tiny.random_tokens(CONFIG, 2, 5)
OTHER = dataclasses.replace(CONFIG, layers=2)
CHECKPOINT = Checkpoint(
    parameters=PARAMETERS,
    config=CONFIG,
    tokenizer=WordTokenizer(("a",)),
    name="tiny",
    content_hash="0",
)
Z = np.zeros((3, 2, 5, 2, 4, 6), np.float32)
DICTIONARY = Dictionary(
    encoder=jnp.ones((10, 4)),
    decoder=jnp.ones((4, 10)),
    encoder_bias=jnp.zeros(4),
    decoder_bias=jnp.zeros(10),
    threshold=jnp.zeros(4),
)


# As users call them: in the tests each function checks its arrays by itself first.
_unchecked = inspect.unwrap
_activations = _unchecked(Dictionary.activations)
_first_nonfinite = _unchecked(first_nonfinite)
_last = functools.partial(_unchecked(from_end), 1)


def _forward(*edits, **given):
    given = {"parameters": PARAMETERS, "tokens": TOKENS, "config": CONFIG} | given
    if edits:
        given["edits"] = list(edits)
    return _unchecked(forward)(**given)


def _generate(**given):
    given = {"tokens": TOKENS, "lengths": [5, 4], "steps": 1} | given
    given = {"parameters": PARAMETERS, "config": CONFIG} | given
    return _unchecked(generate)(**given)


def _features(site=Site.RESID_POST, dictionary=DICTIONARY, chosen=(1,), target=1.0):
    _forward(set_features(site, dictionary, chosen, target))


def _config(**change):
    dataclasses.replace(CONFIG, **change)


# By what is wrong: the call, and what its error has to say.
THINGS = {
    "forward": [
        (lambda: _forward(config=CHECKPOINT), "a Checkpoint as config.*`.config`"),
        (lambda: _forward(config=None), "None as config; `load"),
        (lambda: _forward(config=PARAMETERS), "a Parameters as config"),
        (lambda: _forward(config=OTHER), "3 layers.*config of 2 layers.*one check"),
        (lambda: _forward(parameters=CHECKPOINT), "a Checkpoint as .*`.parameters`"),
        (lambda: _forward(parameters=CONFIG), "a ModelConfig as parameters"),
        (lambda: _forward(tokens="hi"), "tokens are text"),
        (lambda: _forward(tokens=[["a"]]), "tokens have type"),
        (lambda: _forward(tokens=[[1], [1, 2]]), "rows of different length"),
        (lambda: _forward(tokens=[]), r"shape \(0,\); give \[row, position\]"),
        (lambda: _forward(tokens=TOKENS[:, :0]), "at least one row and one token"),
        (lambda: _forward(edits=None), "None as edits; give a list"),
        (lambda: _forward(edits={Site.Z: 0}), "a dict as edits"),
        (lambda: _forward((Site.Z, 0.0)), "a tuple as an edit"),
    ],
    "captures": [
        (lambda: _forward(capture=None), "None as a capture"),
        (lambda: _forward(capture={Site.Z: [1]}), "a dict as a capture"),
        (lambda: _forward(capture=[zero_ablate(Site.Z)]), "an Edit as a capture"),
        (lambda: _capture(site="z"), "'z' as the site of a Capture; .*of` reads"),
        (lambda: _capture(layers=1), "1 as layers of a Capture; .*of` reads"),
        (lambda: _capture(layers=(1.0,)), "1.0 as one of the layers"),
        (lambda: _capture(positions=[[1]]), "a list as positions of a Capture"),
        (
            lambda: _capture(site=Site.EMBED, layers=(0,)),
            "EMBED in layers .0.; it is in none",
        ),
        (lambda: Capture.of(Site.Z, layer=1), "no layer=.*is layers= meant"),
        (lambda: Capture.of(Site.Z, layers="all"), "'all' as layers of a capture"),
        (lambda: Capture.of(Site.Z, layers=[[1]]), "a list as one of layers"),
        (lambda: Capture.of(Site.Z, layers=[True]), "True as one of .*not a mask"),
        (lambda: Capture.of(3), "3 as a site"),
        (lambda: Capture.of("hook_pre"), "give that Site"),
    ],
    "selectors": [
        (lambda: zero_ablate(Site.Z, layers=slice(2)), "a slice as layers"),
        (lambda: zero_ablate(Site.Z, layers=[[1]]), r"shape \(1, 1\); give \[sel"),
        (lambda: zero_ablate(Site.Z, positions="last"), "'last' as positions"),
        (lambda: zero_ablate(Site.Z, positions=[[1], [1, 2]]), "rows of equal length"),
        (lambda: zero_ablate(Site.Z, positions=np.zeros((1, 1, 1), int)), "1, 1, 1"),
        (lambda: zero_ablate(Site.Z, heads=Node(1, 2)), "a Node as heads"),
        (lambda: zero_ablate(Site.Z, weight=None), "None as weight of an edit"),
        (lambda: _forward(zero_ablate(Site.Z, weight=np.nan)), "NaN in its weight"),
        (lambda: _last(None), "None as lengths"),
        (lambda: _last(5), r"lengths have shape \(\)"),
        (lambda: _last([5.0]), "lengths have type float32"),
        (lambda: from_end("a", [5]), "'a' as counts of tokens"),
    ],
    "sources": [
        (lambda: patch(Site.Z, _forward()), "an Output as value.*`.activations`"),
        (lambda: patch(Site.Z, {Site.Z: 1}), "a dict as value of an edit"),
        (lambda: add(Site.Z, None), "None as value"),
        (lambda: mean_ablate("z", [1.0]), r"shape \(1,\); give it as it was captured"),
        (lambda: mean_ablate(None, Z), "None as a site"),
        (lambda: resample_ablate(Site.Z, Z, [5, 6]), "rows .5, 6. of an activation"),
        (lambda: from_rows(Site.Z, Z, [-1, 0]), "give some of 0 to 1"),
        (lambda: from_rows(Site.Z, Z, [1.0]), "rows have type float32"),
        (lambda: freeze(_forward()), "an Output as activations; .*`.activations`"),
        (lambda: freeze({Site.Z: Z}, layer=1), "no layer=.*is layers= meant"),
        (lambda: freeze({Site.Z: Z}, layers="all"), "'all' as layers"),
        (lambda: freeze({Site.Z: None}), "None as an activation of Site.Z"),
        (lambda: project_out(Site.Z, None), "None as a basis"),
        (lambda: project_out(Site.Z, np.zeros((0, 6))), r"basis of shape \(0, 6\)"),
        (lambda: _forward(project_out(Site.Z, np.eye(3))), "out_of_basis of x, .*fail"),
        (lambda: apply(Site.Z, bent, None), "None as an argument of bent"),
        (lambda: apply(Site.Z, bent, Argument(jnp.array(1.0))), "axes .slot, row"),
        (lambda: _forward(apply(Site.Z, bent)), "bent of x, .*failed.*missing"),
        (lambda: read_by(None, [[[1]]]), "None as an edit that only some read"),
        (lambda: read_by(zero_ablate(Site.V), "all"), "'all' as readers"),
    ],
    "features": [
        (lambda: _features(dictionary={}), "a dict as a dictionary; give a `Dict"),
        (lambda: _features(chosen=[1.5]), "features have type float32"),
        (lambda: _features(chosen=[[1]]), r"features have shape \(1, 1\)"),
        (lambda: _features(target=[1.0, 2.0]), r"target has shape \(2,\) for 1"),
        (
            lambda: _features(
                dictionary=dataclasses.replace(DICTIONARY, encoder=jnp.ones((4, 10)))
            ),
            r"encoder of a dictionary .* \(4, 10\); give \(10, 4\)",
        ),
        (lambda: _activations(DICTIONARY, [1.0] * 8), "reads a width of 10"),
    ],
    "generation": [
        (lambda: _generate(config=CHECKPOINT), "a Checkpoint as config"),
        (lambda: _generate(parameters=None), "None as parameters"),
        (lambda: _generate(lengths=None), "None as lengths"),
        (lambda: _generate(lengths=[5.0, 4.0]), "lengths have type float32"),
        (lambda: _generate(steps=2.0), "2.0 as steps; give a whole number"),
        (lambda: _generate(stop_ids=["a"]), "'a' as one of stop_ids"),
        (lambda: _generate(temperature="1"), "temperature is '1'; give 0"),
        (lambda: _generate(temperature=float("nan")), "temperature is nan; give 0"),
        (lambda: _generate(key=3, temperature=1.0), "as a key; give one"),
        (lambda: _generate(edits=[[zero_ablate(Site.Z)]]), "a list as an edit"),
    ],
    "models": [
        (lambda: sites_of(CHECKPOINT), "a Checkpoint as config; give its `.config`"),
        (lambda: segment_sizes(None), "None as config"),
        (lambda: layer_constants(PARAMETERS), "a Parameters as config"),
        (lambda: parameter_shapes({}), "a dict as config"),
        (lambda: initialise(CHECKPOINT, jax.random.key(0)), "give its `.config`"),
        (lambda: initialise(CONFIG, 0), r"int32\[\] as a key"),
        (lambda: stack_layers([], (0,)), "segments of"),
        (lambda: PARAMETERS.of_layer("1"), "'1' as a layer"),
        (
            lambda: _first_nonfinite(CHECKPOINT, TOKENS, config=CONFIG),
            "a Checkpoint as",
        ),
        (lambda: _first_nonfinite(PARAMETERS, [1], config=CONFIG), r"give \[row, pos"),
        (lambda: load(CONFIG), "a ModelConfig as a checkpoint's path"),
        (lambda: _config(layers=3.0), "layers is 3.0; give a whole number"),
        (lambda: _config(norm="rms"), "norm is 'rms'; give one of Norm.RMS"),
        (lambda: _config(tied="yes"), "tied is 'yes'; give True or False"),
        (lambda: _config(unrotated_layers=[0]), "a list; give a tuple of whole"),
        (lambda: _config(rope_base="1e4"), "rope_base is '1e4'; give a number"),
        (lambda: _config(windowed_rope_base="x"), "give a number or None"),
        (lambda: _config(rope_base=0.0), "rope_base is 0.0; give a number above 0"),
        (lambda: _config(score_cap=0.0), "score_cap is 0.0; .* or None for no cap"),
        (lambda: _config(logit_cap=-30.0), "logit_cap is -30.0; give a number above 0"),
        (lambda: _config(neurons=0), "neurons is 0; give at least 1"),
        (lambda: _config(norm_epsilon=-1.0), "norm_epsilon is -1.0; give 0 or more"),
    ],
    "circuits": [
        (lambda: Node.parse(Node(1, 2)), "a Node as a node's name"),
        (lambda: Edge.parse(None), "None as an edge; write"),
        (lambda: Site.parse(None), "None as a site's name"),
        (lambda: all_nodes(None, 3), "None as layers"),
        (lambda: Circuit(nodes=("L1H2",)), "'L1H2' as one of nodes; Node.parse"),
        (lambda: Circuit(nodes=Node(1, 2)), "a Node as nodes; give a tuple"),
    ],
}


def _capture(**fields):
    _forward(capture=[Capture(**({"site": Site.Z} | fields))])


@pytest.mark.parametrize("room", THINGS)
def test_a_wrong_input_ends_in_a_sentence(room: str):
    for call, said in THINGS[room]:
        with pytest.raises(ValueError, match=said):
            call()


def test_files_that_cannot_be_written_or_read_end_in_a_sentence(tmp_path):
    edit, circuit = zero_ablate(Site.Z), Circuit(nodes=(Node(1, 2),))
    unjson = {"numbers": jnp.ones(2)}
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "list").write_text("[]")
    (tmp_path / "nodes").write_text(
        '{"format": "mcq_jax.circuit", "version": 1, "nodes": 3}'
    )
    for call, said in [
        (lambda: save_edits(tmp_path / "a", None), "None as edits"),
        (lambda: save_edits([edit], tmp_path), "a list as a file's path"),
        (lambda: save_edits(tmp_path / "no" / "a", edit), "a folder that is not there"),
        (lambda: save_edits(tmp_path / "a", edit, provenance=unjson), "JSON cannot"),
        (lambda: save_circuit(tmp_path / "a", None), "None as a circuit"),
        (
            lambda: save_circuit(
                tmp_path / "a", dataclasses.replace(circuit, provenance=unjson)
            ),
            "a circuit's provenance holds what JSON cannot",
        ),
        (lambda: load_circuit(tmp_path / "junk"), "junk is no JSON"),
        (lambda: load_circuit(tmp_path / "list"), "is None version None"),
        (lambda: load_circuit(tmp_path / "nodes"), "nodes is damaged"),
    ]:
        with pytest.raises(ValueError, match=said):
            call()
    save_edits(tmp_path / "one", edit)
    assert [str(e) for e in load_edits(tmp_path / "one")] == [str(edit)]


def test_captures_of_named_layers_can_be_asked_for_inside_jit():
    @jax.jit
    def run(tokens):
        wishes = [Capture.of(Site.Z, layers=[2]), "blocks.1.hook_resid_pre"]
        return forward(PARAMETERS, tokens, config=CONFIG, capture=wishes).activations

    seen = run(TOKENS)
    assert seen[Site.Z].shape[0] == seen[Site.RESID_PRE].shape[0] == 1
