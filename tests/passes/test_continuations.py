"""Log-probabilities of continuations equal those read off a plain forward pass."""

import dataclasses

import jax
import numpy as np
import pytest

from mcq_jax.model import forward
from mcq_jax.passes import continuation_logprobs, continuations
from mcq_jax.passes.prefix_tree import Level
from tests import tiny

CASES = (tiny.FAMILIES[0], tiny.FAMILIES[2])


def _rows(config):
    """Two beginnings of their own, each continued in three ways of 1 to 4 tokens."""
    begun = tiny.random_tokens(config, 2, 23)
    ends = tiny.random_tokens(config, 6, 4, seed=1)
    starts = np.repeat([23, 21], 3).astype(np.int32)
    lengths = (starts + [1, 3, 4, 2, 4, 1]).astype(np.int32)
    tokens = np.zeros((6, lengths.max()), np.int32)
    for row, (start, end) in enumerate(zip(starts, lengths, strict=True)):
        tokens[row, :start] = np.asarray(begun)[row // 3, :start]
        tokens[row, start:end] = np.asarray(ends)[row, : end - start]
    return tokens, lengths, starts


def _plainly(parameters, tokens, lengths, starts, config) -> np.ndarray:
    found = []
    for row, end in enumerate(lengths):
        logits = forward(parameters, tokens[row : row + 1, :end], config=config).logits
        logprobs = np.asarray(jax.nn.log_softmax(logits[0]))
        at = np.arange(starts[row], end)
        found.append(logprobs[at - 1, tokens[row, at]].sum())
    return np.array(found)


@pytest.mark.few
@pytest.mark.parametrize("case", CASES)
def test_sums_are_those_of_a_plain_pass(case, monkeypatch):
    config = dataclasses.replace(tiny.CASES[case], context=32)
    parameters = tiny.random_parameters(config)
    tokens, lengths, starts = _rows(config)
    wanted = _plainly(parameters, tokens, lengths, starts, config)
    begun = starts - 1  # so much of each row is its beginning's
    width = lengths.max() - begun.min()
    at = np.minimum(begun[:, None] + np.arange(width), tokens.shape[1] - 1)
    by_hand = (
        Level.whole(tokens[::3, : begun.max()], begun[::3]),
        Level(
            tokens=np.take_along_axis(tokens, at, axis=1), lengths=lengths - begun,
            starts=begun, parents=np.repeat([0, 1], 3),
        ),
    )  # fmt: skip
    for levels in (continuations.levels_of, lambda *_, **__: by_hand):
        monkeypatch.setattr(continuations, "levels_of", levels)
        found = continuation_logprobs(
            parameters, tokens, lengths, starts, config=config
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_nothing_to_score_is_refused():
    config = dataclasses.replace(tiny.CASES[CASES[0]], context=32)
    parameters = tiny.random_parameters(config)
    tokens, lengths, starts = _rows(config)
    for wrong in (0 * starts, lengths):
        with pytest.raises(ValueError, match="starts of 1 or later and before"):
            continuation_logprobs(parameters, tokens, lengths, wrong, config=config)
