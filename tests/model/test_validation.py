"""What cannot work is refused before anything is computed, and says what to do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Edit, Site, patch
from mcq_jax.model import ModelConfig, Norm, forward, initialise, parameter_shapes
from tests import tiny

CONFIG = tiny.CASES["every head its own keys, full rotation"]
UNGATED = tiny.CASES["one key head, plain feed-forward, all biases, no rotation"]
TOKENS = tiny.random_tokens(CONFIG, 2, 5)


def _run(edits=(), *, tokens=TOKENS, capture=(), config=CONFIG):
    parameters = tiny.random_parameters(config)
    return forward(parameters, tokens, edits, config=config, capture=capture)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (patch(Site.Z, 0.0, layers=(3,)), "layers of an edit of Site.Z .* 0 to 2"),
        (patch(Site.Z, 0.0, layers=(-1,)), "layers of an edit of Site.Z .* -1"),
        (patch(Site.EMBED, 0.0, layers=(1,)), "layers of an edit of Site.EMBED"),
        (patch(Site.Z, 0.0, layers=(1, 1)), r"\[1, 1\]; name .* only once"),
        (patch(Site.Z, 0.0, layers=()), "at least one layer"),
        (patch(Site.Z, 0.0, positions=5), "positions .* Site.Z .* 0 to 4"),
        (patch(Site.Z, 0.0, positions=-1), "positions .* run from -1"),
        (
            patch(Site.Z, 0.0, positions=np.arange(3)[:, None]),
            r"positions .* shape \(3, 1\); .* 2 rows",
        ),
        (patch(Site.MLP_IN, np.zeros((1, 1, 1, 9))), r"value .* \(1, 1, 1, 9\).* 10"),
        (patch(Site.MLP_IN, np.zeros((1, 3, 1, 10))), "value of an edit of Site.MLP"),
        (
            patch(Site.MLP_IN, 0.0, weight=np.zeros((1, 1, 4, 1))),
            "weight of an edit of Site.MLP_IN",
        ),
        (
            patch(Site.MLP_IN, np.zeros((1, 2, 5, 10)), positions=np.arange(2)),
            r"value .* \(1, 2, 5, 10\); .* sizes \(1, 2, 2, 10\)",
        ),
    ],
    ids=str,
)
def test_an_edit_that_does_not_fit_the_run_is_refused(edit: Edit, message: str):
    with pytest.raises(ValueError, match=message):
        _run([edit])


@pytest.mark.parametrize(
    ("capture", "message"),
    [
        ([Site.Z, Capture(site=Site.Z, layers=(1,))], "Site.Z is captured 2 times"),
        ([Capture(site=Site.Z, layers=(3,))], r"layers \(3,\); .* 0 to 2"),
        ([Capture(site=Site.Z, layers=())], r"layers \(\)"),
        ([Capture(site=Site.Z, positions=jnp.array([[5]]))], "positions .* 0 to 4"),
        ([Capture(site=Site.Z, positions=jnp.array([1, 2]))], "positions .* shape"),
        ([Capture(site=Site.Z, positions=jnp.zeros((3, 1), int))], "2 rows"),
    ],
    ids=str,
)
def test_a_capture_that_does_not_fit_the_run_is_refused(capture, message: str):
    with pytest.raises(ValueError, match=message):
        _run(capture=capture)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (jnp.zeros((1, 17), jnp.int32), "17 tokens for a context of 16; shorten"),
        (jnp.array([[13]]), "tokens run from 13 to 13; the vocabulary has 0 to 12"),
        (jnp.array([[-1]]), "tokens run from -1"),
    ],
    ids=["long", "large", "negative"],
)
def test_tokens_that_do_not_fit_the_model_are_refused(tokens, message: str):
    with pytest.raises(ValueError, match=message):
        _run(tokens=tokens)


def test_a_gate_that_a_model_does_not_have_is_refused():
    tokens = tiny.random_tokens(UNGATED, 2, 5)
    message = "Site.MLP_GATE, but this model's feed-forward blocks have no gate"
    with pytest.raises(ValueError, match=message):
        _run([patch(Site.MLP_GATE, 0.0)], tokens=tokens, config=UNGATED)
    with pytest.raises(ValueError, match=message):
        _run(capture=[Site.MLP_GATE], tokens=tokens, config=UNGATED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "layers is 0; give at least 1"),
        ({"kv_heads": -2}, "kv_heads is -2"),
        ({"rotary_width": 3}, "rotary_width is 3; give an even number"),
        ({"rotary_width": 8}, r"between 0 and head_width \(6\)"),
        ({"post_norm": True, "norm": Norm.NONE}, "post_norm with Norm.NONE"),
        ({"relative_positions": True, "width": 9}, "width of 9; give an even one"),
        ({"window": 3}, r"windowed_layers \(\) with a window of 3"),
        ({"window": 0, "windowed_layers": (1,)}, "window is 0; give at least 1"),
        ({"unrotated_layers": (3,)}, r"layers \[3\] in a model of 3"),
    ],
    ids=str,
)
def test_a_config_that_describes_no_model_is_refused(change, message: str):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        (Site.POS_EMBED, "no learned positions"),
        (Site.Q_SCALE, "does not norm its queries and keys"),
        (Site.MLP_OUT_SCALE, "does not norm what its blocks write"),
    ],
)
def test_a_site_of_other_families_is_refused(site: Site, reason: str):
    with pytest.raises(ValueError, match=f"{site}, but this model .*{reason}"):
        _run(capture=[site])


def test_a_config_is_hashable_and_counts_its_nodes():
    grouped = tiny.CASES["grouped heads, biases, partial rotation"]
    assert hash(grouped) == hash(dataclasses.replace(grouped))
    assert (grouped.heads, grouped.nodes) == (8, 9)


def test_a_score_scale_of_zero_is_taken_at_its_word():
    config = dataclasses.replace(CONFIG, score_scale=0.0)
    pattern = _run(capture=[Site.PATTERN], config=config).activations[Site.PATTERN]
    np.testing.assert_allclose(pattern[..., -1, :], 0.2, rtol=1e-6)


def _names(tree) -> dict[str, set[str]]:
    return {module: set(entries) for module, entries in tree.items()}


@pytest.mark.parametrize(
    ("config", "attention", "feedforward"),
    [
        (
            CONFIG,
            {"norm_gain", "query", "key", "value", "output"},
            {"norm_gain", "gate", "up", "down"},
        ),
        (
            UNGATED,
            {
                "norm_gain", "query", "key", "value", "output", "query_bias",
                "key_bias", "value_bias", "output_bias",
            },
            {"norm_gain", "up", "down", "up_bias", "down_bias"},
        ),
        (
            tiny.BY_HAND,
            {"query", "key", "value", "output"},
            {"up", "down"},
        ),
    ],
    ids=["gated", "biases", "by hand"],
)  # fmt: skip
def test_parameters_have_two_levels_of_names(
    config: ModelConfig, attention: set[str], feedforward: set[str]
):
    shapes = parameter_shapes(config)
    layer = {"attention": attention, "feedforward": feedforward}
    assert _names(shapes.layers[0]) == layer
    assert _names(shapes.embed) == {"~": {"table"}}
    grouped = (config.kv_heads, config.group, config.head_width, config.width)
    assert shapes.layers[0]["attention"]["query"].shape == grouped


def test_initialised_parameters_have_the_expected_shapes_in_segments():
    parameters = initialise(UNGATED, jax.random.key(0), sizes=(1, 2))
    expected = parameter_shapes(UNGATED).layers[0]
    for size, segment in zip((1, 2), parameters.layers, strict=True):
        found = jax.tree.map(lambda a: a.shape, segment)
        assert found == jax.tree.map(lambda a: (size, *a.shape), expected)  # noqa: B023
