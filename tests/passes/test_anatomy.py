"""Contributions add up to the logits; shares of attention are shares."""

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import metrics
from mcq_jax.model import Norm
from mcq_jax.passes import (
    Keys,
    answer_prompts,
    answer_readout,
    contributions,
    dissect,
    prefill,
)
from tests import tiny
from tests.passes.full_runs import prompts

ANSWERS = jnp.array([[1, 5], [0, 3], [12, 11]])
ROUNDING = 1e-4
CAPPED = ["as Gemma 2: norms on both sides, caps, windows"]


@pytest.mark.few
@tiny.every_case(2)
def test_contributions_and_the_rest_add_up_to_the_logits(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config, sizes=(1, 2))
    tokens, lengths = prompts(config)
    run = prefill(parameters, tokens, lengths, config=config)
    readout = answer_readout(parameters, run, ANSWERS, config=config)
    nodes, rest = contributions(
        parameters, run.nodes, readout, embedding=run.embedding, config=config
    )
    assert nodes.shape == (3, config.layers, config.nodes, 2)
    logits, _ = answer_prompts(parameters, tokens, lengths, ANSWERS, config=config)
    total = nodes.sum(axis=(1, 2)) + rest
    assert jnp.abs(total).max() > 0.1
    if config.logit_cap is not None:
        total = config.logit_cap * jnp.tanh(total / config.logit_cap)
    np.testing.assert_allclose(total, logits, rtol=0, atol=ROUNDING)


@pytest.mark.few
@pytest.mark.parametrize(
    "case",
    [
        "grouped heads, biases, partial rotation",
        "as Gemma 2: norms on both sides, caps, windows",
    ],
)
def test_a_prompt_taken_apart_has_shares_for_every_head(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config, sizes=(1, 2))
    tokens, lengths = prompts(config)
    run = prefill(parameters, tokens, lengths, config=config)
    readout = answer_readout(parameters, run, ANSWERS, config=config)
    labels = jnp.array([[0, 2], [1, 3], [4, 0]])
    # Class 0 is everything but the labels, class 1 the labels.
    is_label = (jnp.arange(tokens.shape[1])[None, None] == labels[:, :, None]).any(
        axis=1
    )
    keys = Keys(
        label_positions=labels,
        key_class=is_label.astype(jnp.int32),
        key_option=jnp.zeros_like(tokens),
        is_content=jnp.ones_like(tokens, bool),
    )
    found = dissect(parameters, run, readout, keys, key_classes=2, config=config)
    shape = (3, config.layers, config.heads)
    assert found.label_attention.shape == (*shape, 2)
    assert found.label_writes.shape == (*shape, 2, 2)
    np.testing.assert_allclose(found.class_attention.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        found.class_attention[..., 1], found.label_attention.sum(-1), rtol=1e-5
    )
    # All keys count as content of option 0.
    np.testing.assert_allclose(found.content_attention[..., 0], 1, rtol=1e-5)
    # What a head writes is its pattern's mix of what the values would write.
    np.testing.assert_allclose(
        found.label_writes,
        _writes_by_hand(parameters, run, readout, labels, config),
        rtol=1e-3,
        atol=ROUNDING,
    )


@pytest.mark.parametrize(
    "case",
    ["as GPT-2: layer norm, learned positions", "no norm, own score scale", *CAPPED],
)
def test_the_readout_is_the_formula_of_direct_contributions(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config)
    run = prefill(parameters, *prompts(config), config=config)
    readout = answer_readout(parameters, run, ANSWERS, config=config)
    weights, x = parameters.unembedding["~"], np.asarray(run.final)
    is_layer = config.norm is Norm.LAYER
    x = x - is_layer * x.mean(-1, keepdims=True)
    size = np.sqrt((x**2).mean(-1) + config.norm_epsilon)
    for prompt, ids in enumerate(ANSWERS):
        directions = metrics.answer_directions(
            weights["table"][ids],
            weights.get("norm_gain", jnp.ones(config.width)),
            jnp.float32(size[prompt] if config.norm is not Norm.NONE else 1),
            subtracts_mean=is_layer,
        )
        np.testing.assert_allclose(readout.directions[prompt], directions, atol=1e-5)


def _writes_by_hand(parameters, run, readout, labels, config):
    values = jnp.concatenate([blocks.values for blocks in run.blocks])
    outputs = jnp.concatenate(
        [group["attention"]["output"] for group in parameters.layers]
    )
    rows = jnp.arange(len(labels))[:, None]
    at_labels = values[:, rows, labels]  # [layer, prompt, choice, kv_head, head_width]
    if config.post_norm:
        gains = [group["attention"]["post_norm_gain"] for group in parameters.layers]
        outputs = outputs * jnp.concatenate(gains)[:, None, None, None]
    writes = jnp.einsum(
        "pl,lpckh,lkghw,paw->plkgca",
        readout.head_scale, at_labels, outputs, readout.directions,
        precision="highest",
    )  # fmt: skip
    return writes.reshape(len(labels), config.layers, config.heads, *writes.shape[-2:])
