"""Where numbers stop being finite is said by layer, site and token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site
from mcq_jax.model import first_nonfinite, forward
from mcq_jax.passes import answer_prompts
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
TOKENS = tiny.random_tokens(CONFIG, 2, 5)
SIZES = (1, 2)


def _parameters(**options):
    return tiny.random_parameters(CONFIG, sizes=SIZES, **options)


def _changed(layer: int, module: str, name: str, change):
    """The parameters with one of a layer's arrays changed."""
    parameters = _parameters()
    segment, index = (0, 0) if layer == 0 else (1, layer - 1)
    array = parameters.layers[segment][module][name]
    layers = list(parameters.layers)
    new = array.at[index].set(change(array[index]))
    layers[segment] = {
        **layers[segment], module: {**layers[segment][module], name: new}
    }  # fmt: skip
    return parameters._replace(layers=tuple(layers))


def _with_nan(array):
    return array.at[(0,) * array.ndim].set(jnp.nan)


@pytest.mark.parametrize(
    ("layer", "module", "name", "site"),
    [
        (0, "attention", "query", Site.Q),
        (1, "attention", "value", Site.V),
        (2, "attention", "output", Site.ATTN_OUT),
        (1, "attention", "norm_gain", Site.ATTN_IN),
        (2, "feedforward", "gate", Site.MLP_GATE),
        (1, "feedforward", "down", Site.MLP_OUT),
    ],
)
def test_nan_in_one_array_of_a_layer_is_found_where_it_first_shows(
    layer, module, name, site
):
    found = first_nonfinite(
        _changed(layer, module, name, _with_nan), TOKENS, config=CONFIG
    )
    assert found is not None
    assert (found.layer, found.site, found.row, found.position) == (layer, site, 0, 0)
    assert f"from {site.label} of layer {layer} on" in str(found)


def test_the_first_token_that_goes_wrong_is_named():
    parameters = _parameters()
    tokens = np.array([[1, 2, 3, 2, 1], [1, 2, 4, 2, 1]], np.int32)
    table = parameters.embed["~"]["table"].at[4].set(jnp.inf)
    found = first_nonfinite(
        parameters._replace(embed={"~": {"table": table}}), tokens, config=CONFIG
    )
    assert found is not None and found.layer is None
    assert (found.site, found.row, found.position) == (Site.EMBED, 1, 2)


@pytest.mark.slow
def test_overflow_in_float16_is_found_and_the_dtype_to_take_is_said():
    parameters = _changed(1, "feedforward", "up", lambda up: up * 3e4)
    assert first_nonfinite(parameters, TOKENS, config=CONFIG) is None  # in float32
    try:
        narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), parameters)
    except jax.errors.JaxRuntimeError:  # a processor, or a flag, without F16C
        pytest.skip("jaxlib cannot convert to float16 for this processor")
    found = first_nonfinite(narrow, TOKENS, config=CONFIG)
    assert found is not None and (found.layer, found.site) == (1, Site.MLP_PRE)
    assert "float16, which ends at 6.55e+04" in str(found)
    assert "dtype='float32' or 'bfloat16'" in str(found)
    lengths, ids = np.array([5, 4]), np.array([[0, 1], [2, 3]])
    with pytest.raises(ValueError, match="of 2 prompts .*from mlp_pre of layer 1"):
        answer_prompts(narrow, TOKENS, lengths, ids, config=CONFIG)


@pytest.mark.parametrize("case", [tiny.FAMILIES[0], tiny.FAMILIES[2]])
def test_a_sound_model_has_nothing_to_find(case):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config)
    tokens = tiny.random_tokens(config, 1, 6)
    assert np.isfinite(forward(parameters, tokens, config=config).logits).all()
    assert first_nonfinite(parameters, tokens, config=config) is None
