"""What is left out means all: an edit without layers is in every one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import (
    Argument,
    Capture,
    Site,
    add,
    apply,
    freeze,
    load_edits,
    mean_ablate,
    patch,
    project_out,
    save_edits,
    scale,
    zero_ablate,
)
from mcq_jax.interventions.lists import as_captures, as_edits
from mcq_jax.model import forward, generate
from mcq_jax.model.inputs import as_tokens, check_model
from tests import tiny
from tests.interventions.test_kinds import bent

CASE = "grouped heads, biases, partial rotation"
CONFIG = tiny.CASES[CASE]
PARAMETERS = tiny.random_parameters(CONFIG)
TOKENS = tiny.random_tokens(CONFIG, 2, 5)
EVERY = range(CONFIG.layers)
EDITS = {
    "zero": lambda **where: zero_ablate(Site.Z, heads=[1], **where),
    "add": lambda **where: add(Site.RESID_MID, 0.5, positions=[2], **where),
    "scale": lambda **where: scale(Site.MLP_POST, 2.0, **where),
    "apply": lambda **where: apply(
        Site.MLP_OUT, bent, np.ones(CONFIG.width, np.float32), 1.0, **where
    ),
    "project": lambda **where: project_out(Site.K, np.eye(6)[:2], **where),
    "pattern": lambda **where: patch(Site.PATTERN, 0.2, keys=[0], **where),
}


def _logits(edits):
    return np.asarray(forward(PARAMETERS, TOKENS, edits, config=CONFIG).logits)


@pytest.mark.few
@pytest.mark.parametrize("name", EDITS)
def test_an_edit_without_layers_is_that_edit_of_every_layer(name: str):
    found, expected = EDITS[name](), EDITS[name](layers=EVERY)
    np.testing.assert_array_equal(_logits([found]), _logits([expected]))
    first = _logits([EDITS[name](layers=[0])])
    assert np.abs(_logits([found]) - first).max() > 1e-4
    assert "every layer" in str(found)


@pytest.mark.slow
def test_generation_means_the_same_by_it():
    found, expected = (
        generate(
            PARAMETERS, TOKENS, np.array([5, 4]), config=CONFIG, steps=3, edits=edits
        )
        for edits in ([EDITS["add"]()], [EDITS["add"](layers=EVERY)])
    )
    np.testing.assert_array_equal(found.tokens, expected.tokens)


def test_two_patches_of_every_layer_meet_where_one_names_it():
    with pytest.raises(ValueError, match="in layer 1 meet"):
        _logits([zero_ablate(Site.Z), zero_ablate(Site.Z, layers=[1])])
    with pytest.raises(ValueError, match="meet"):
        _logits([zero_ablate(Site.Z), zero_ablate(Site.Z)])


@pytest.mark.few
@pytest.mark.parametrize("name", ["patch", "mean", "argument", "heads"])
def test_one_slot_per_layer_needs_no_layers(name: str):
    """What was captured in all layers goes back into each its own."""
    seen = forward(PARAMETERS, TOKENS, config=CONFIG, capture=[Site.Z]).activations
    source = seen[Site.Z][:, ::-1]  # the other row's
    by_layer = np.arange(1.0, 1 + CONFIG.layers, dtype=np.float32)
    build = {
        "patch": lambda **where: patch(Site.Z, source, **where),
        "mean": lambda **where: mean_ablate(Site.Z, source, heads=[3], **where),
        "argument": lambda **where: apply(
            Site.MLP_OUT,
            bent,
            Argument(jnp.ones((1, 1, CONFIG.width))),
            Argument(jnp.asarray(by_layer).reshape(-1, 1)),
            **where,
        ),
        "heads": lambda **where: patch(
            Site.Z, source, heads=[[[0]], [[1]], [[2]]], **where
        ),
    }[name]
    found, expected = build(), build(layers=EVERY)
    assert "of each layer" in str(found) and found.layers is None
    np.testing.assert_array_equal(_logits([found]), _logits([expected]))
    # The law could fail: the first layer's in all of them is something else.
    first = jax.tree.map(lambda a: a[:1], found)
    assert np.abs(_logits(found) - _logits(first)).max() > 1e-5


def test_slots_for_some_layers_have_to_say_which():
    edit = patch(Site.Z, np.zeros((2, 1, 1, 1, 1, 1)))
    with pytest.raises(ValueError, match="values of 2 layers, and the model has 3"):
        _logits([edit])


def test_a_capture_of_some_layers_is_not_frozen_as_the_first_ones():
    wish = Capture.of(Site.Z, layers=[1, 2])
    seen = forward(PARAMETERS, TOKENS, config=CONFIG, capture=[wish]).activations
    with pytest.raises(ValueError, match="values of 2 layers, and the model has 3"):
        _logits(freeze(seen))


def test_patches_of_each_layer_meet_in_the_layer_that_both_claim():
    weight = np.zeros((3, 1, 1, 1, 1, 1))
    weight[1] = 1.0
    each = patch(Site.Z, 0.0, weight=weight)
    _logits([each, zero_ablate(Site.Z, layers=[0])])
    with pytest.raises(ValueError, match="in layer 1 meet"):
        _logits([each, zero_ablate(Site.Z, layers=[1])])


def test_an_edit_of_every_layer_is_saved_and_read(tmp_path):
    save_edits(tmp_path / "e.safetensors", [edit() for edit in EDITS.values()][:3])
    again = load_edits(tmp_path / "e.safetensors")
    assert len(again) == 3 and again[0].layers is None
    for read, edit in zip(again, EDITS.values(), strict=False):
        np.testing.assert_array_equal(_logits([read]), _logits([edit()]))


@pytest.mark.parametrize("build", [patch, add, scale])
def test_two_values_for_one_position_are_refused(build):
    value = np.zeros((1, 1, 2, CONFIG.width))
    value[:, :, 1] = 1.0
    edit = build(Site.RESID_PRE, value, layers=[0], positions=[[3, 3]])
    with pytest.raises(ValueError, match=r"\[3, 3\] in row 0.* more than once"):
        _logits([edit])


def test_one_value_for_a_position_that_is_named_again_is_that_value():
    twice = patch(Site.RESID_PRE, 0.5, layers=[0], positions=[[3, 3]])
    once = patch(Site.RESID_PRE, 0.5, layers=[0], positions=[[3]])
    np.testing.assert_array_equal(_logits([twice]), _logits([once]))
    with pytest.raises(ValueError, match="more than once"):
        _logits([add(Site.RESID_PRE, 0.5, positions=[[3, 3]])])


class Checkpoint:
    parameters, config = PARAMETERS, CONFIG


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (Checkpoint(), r"a Checkpoint as parameters; give its `.parameters`"),
        ({"w": 1}, "a dict as parameters; `load"),
    ],
)
def test_what_are_no_parameters_is_refused_in_words(parameters, said: str):
    with pytest.raises(ValueError, match=said):
        check_model(parameters, CONFIG)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("corn is", "tokens are text; give ids"),
        (["corn", "is"], "tokens are text; give ids"),
        ([[1, 2], [3]], "rows of different length; pad them"),
        (3, "3 as tokens; give ids"),
    ],
)
def test_what_are_no_tokens_is_refused_in_words(tokens, said: str):
    with pytest.raises(ValueError, match=said):
        as_tokens(tokens)


def test_what_are_no_edits_or_captures_is_refused_in_words():
    with pytest.raises(ValueError, match="3 as edits; give a list"):
        as_edits(3)
    with pytest.raises(ValueError, match="Site.Z as an edit"):
        _logits([Site.Z])
    with pytest.raises(ValueError, match="3 as a capture"):
        as_captures(3)  # pyright: ignore[reportArgumentType]
