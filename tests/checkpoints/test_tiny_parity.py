"""Tiny random models of every family: all that is seen equals `transformers`.

Logits, every residual and every attention pattern, in padded and unpadded rows, with
and without a cache.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import model
from tests.checkpoints import references
from tests.checkpoints.references import CASES, TOLERANCE, Pair, ours, theirs

pytestmark = pytest.mark.parity

# The longest is longer than every window, and the tokens behind it still fit.
LENGTHS, STEPS = (20, 13), 4


@pytest.fixture(scope="module", params=list(CASES))
def pair(request, tmp_path_factory) -> Pair:
    return references.build(request.param, tmp_path_factory.mktemp("reference"))


def test_logits_residuals_and_patterns_equal_the_reference(pair):
    tokens = references.random_tokens(2, max(LENGTHS))
    expected, found = theirs(pair, tokens), ours(pair, tokens)
    assert np.abs(expected.logits).max() > 1
    for kind, error in references.errors(found, expected).items():
        assert error <= TOLERANCE, kind
    ranked = np.sort(expected.logits, -1)
    is_clear = ranked[..., -1] - ranked[..., -2] > 2 * TOLERANCE
    assert is_clear.mean() > 0.9
    np.testing.assert_array_equal(
        found.logits.argmax(-1)[is_clear], expected.logits.argmax(-1)[is_clear]
    )


def test_a_padded_row_equals_the_reference_without_padding(pair):
    tokens = references.random_tokens(2, max(LENGTHS))
    found = ours(pair, tokens)
    for row, length in enumerate(LENGTHS):
        alone = theirs(pair, tokens[[row], :length])
        error = np.abs(found.logits[row, :length] - alone.logits[0]).max()
        assert error <= TOLERANCE
        pattern = found.patterns[:, row, :, :length]
        assert (pattern[..., length:] == 0).all()
        error = np.abs(pattern[..., :length] - alone.patterns[:, 0]).max()
        assert error <= TOLERANCE


def test_generation_from_a_cache_equals_the_references_cache(pair):
    torch = pytest.importorskip("torch")
    tokens = references.random_tokens(2, max(LENGTHS))
    found = model.generate(
        pair.ours.parameters,
        jnp.asarray(tokens, jnp.int32),
        np.array(LENGTHS),
        config=pair.ours.config,
        steps=STEPS,
        keep_logits=True,
    )
    assert found.logits is not None
    for row, length in enumerate(LENGTHS):
        fed, cache = torch.tensor(tokens[[row], :length]), None
        for step in range(STEPS):
            with torch.no_grad():
                out = pair.reference(fed, cache=cache, use_cache=True)
            logits, cache = out.logits[0, -1].numpy(), out.past_key_values
            assert np.abs(found.logits[row, step] - logits).max() <= TOLERANCE
            fed = torch.tensor([[int(found.tokens[row, step])]])
