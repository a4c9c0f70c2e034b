"""What a prompt's own pass keeps is what the full forward shows at its end."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site
from mcq_jax.model import forward
from mcq_jax.passes import answer_prompts, prefill, read_answers
from tests import tiny
from tests.passes.full_runs import LENGTHS, at_the_end, prompts

CASE = "grouped heads, biases, partial rotation"
CONFIG = tiny.CASES[CASE]
SITES = (Site.EMBED, Site.RESID_PRE, Site.Z, Site.MLP_OUT, Site.FINAL_RESID)
ANSWERS = jnp.array([[1, 5, 2, 9], [0, 3, 7, 4], [12, 11, 8, 6]])
# Absolute, of logits and residuals of the order of 10.
ROUNDING = 1e-4


@functools.cache
def _runs():
    parameters = tiny.random_parameters(CONFIG, sizes=(1, 2))
    tokens, lengths = prompts(CONFIG)
    start = prefill(parameters, tokens, lengths, config=CONFIG)
    full = forward(tiny.random_parameters(CONFIG), tokens, config=CONFIG, capture=SITES)
    return parameters, start, full


def _answers(logits):
    chosen = jnp.take_along_axis(logits, ANSWERS, axis=-1)
    return chosen, jax.nn.logsumexp(logits, axis=-1)


def test_a_prompts_pass_keeps_its_answer_position():
    _, start, full = _runs()
    at_answer = {
        site: jnp.stack([at_the_end(a) for a in array])
        if site.per_layer
        else at_the_end(array)
        for site, array in full.activations.items()
    }
    kept = {
        Site.EMBED: start.embedding,
        Site.RESID_PRE: start.resid_pre[:, :, -1],
        **start.nodes,
        Site.FINAL_RESID: start.final,
    }
    for site, found in kept.items():
        expected = at_answer[site]
        np.testing.assert_allclose(found, expected, atol=ROUNDING, err_msg=str(site))
    np.testing.assert_array_equal(start.answer_position, np.array(LENGTHS) - 1)


def test_attention_from_the_answer_position_ends_at_it():
    _, start, _ = _runs()
    keys = np.arange(start.pattern.shape[-1])
    for prompt, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(start.pattern[:, prompt][..., keys >= length], 0)
    np.testing.assert_allclose(start.pattern.sum(-1), 1, rtol=1e-6)


def test_some_prompts_of_a_pass_are_a_pass_over_some_prompts():
    parameters, start, _ = _runs()
    tokens, lengths = prompts(CONFIG)
    chosen = np.array([2, 0])
    alone = prefill(parameters, tokens[chosen], lengths[chosen], config=CONFIG)
    for found, expected in zip(
        jax.tree.leaves(start.take(chosen)), jax.tree.leaves(alone), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_prompts_may_come_as_numpy_arrays():
    parameters, start, _ = _runs()
    tokens, lengths = jax.tree.map(np.asarray, prompts(CONFIG))
    again = prefill(parameters, tokens, lengths, config=CONFIG)
    np.testing.assert_array_equal(again.final, start.final)
    logits, _ = answer_prompts(
        parameters, tokens, lengths, np.asarray(ANSWERS), config=CONFIG
    )
    assert logits.shape == (3, 4)


@pytest.mark.parametrize("chunk", [2, 256])
def test_answers_read_from_final_residuals_are_the_forwards(chunk: int):
    parameters, _, full = _runs()
    final = at_the_end(full.activations[Site.FINAL_RESID])
    unembed = parameters.unembedding
    logits, normaliser = read_answers(
        unembed, final, ANSWERS, config=CONFIG, chunk=chunk
    )
    assert normaliser is not None
    expected = _answers(at_the_end(full.logits))
    for one, other in zip((logits, normaliser), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=ROUNDING)


def test_answers_of_many_rows_are_each_rows_own():
    parameters, _, full = _runs()
    final = full.activations[Site.FINAL_RESID]  # [prompt, position as row, width]
    nested = final.reshape(3, 4, 2, -1)
    logits, normaliser = read_answers(
        parameters.unembedding, nested, ANSWERS, config=CONFIG, chunk=5
    )
    assert normaliser is not None
    ids = jnp.broadcast_to(ANSWERS[:, None], (3, 8, 4))
    expected = jnp.take_along_axis(full.logits, ids, axis=-1).reshape(3, 4, 2, 4)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=ROUNDING)
    total = jax.nn.logsumexp(full.logits, axis=-1).reshape(3, 4, 2)
    np.testing.assert_allclose(normaliser, total, rtol=0, atol=ROUNDING)


def test_plain_prompts_are_answered_as_by_the_forward():
    parameters, _, full = _runs()
    tokens, lengths = prompts(CONFIG)
    found = answer_prompts(parameters, tokens, lengths, ANSWERS, config=CONFIG)
    for one, expected in zip(found, _answers(at_the_end(full.logits)), strict=True):
        np.testing.assert_allclose(one, expected, rtol=0, atol=ROUNDING)
