"""The forward pass against one written in numpy, for every shape of model."""

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.model import forward
from tests import tiny
from tests.model import plain_numpy

# Longer than every window.
TOKENS = [3, 1, 12, 0, 7, 7]
WITHOUT = {name for name, config in tiny.CASES.items() if config.relative_positions}
# Float32 against float64, of the largest logit.
ROUNDING = 1e-5


@pytest.mark.few
@pytest.mark.parametrize("case", sorted(set(tiny.CASES) - WITHOUT))
def test_logits_are_those_of_the_formulas(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config)
    found = forward(parameters, jnp.array([TOKENS]), config=config).logits[0]
    expected = plain_numpy.logits(parameters, TOKENS, config)
    error = np.abs(np.asarray(found) - expected).max()
    assert error <= ROUNDING * np.abs(expected).max()
