"""A small sweep for the tests: four prompts, two kinds of source, a few plans."""

import functools

import numpy as np

from mcq_jax.interventions import Site
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.sweeps import (
    Ablation,
    Sources,
    every_node,
    every_position,
    every_span,
    sweep,
)
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
LENGTHS = (6, 5, 6, 5)
# Patched from another question's prompt (same length), and from any other.
SOURCES = Sources(
    kinds=("other", "any"), index=np.array([[2, 1], [3, 2], [0, 3], [1, 0]])
)
# Of logits of the order of 10.
ROUNDING = 1e-4


def _prompt(index: int) -> TokenisedPrompt:
    generator = np.random.default_rng(index)
    return TokenisedPrompt(
        ids=generator.integers(CONFIG.vocabulary, size=LENGTHS[index]).astype(np.int32),
        spans=(),
        label_positions=np.full(3, -1),
        label_ids=np.full(3, -1),
        answer_ids=np.array([2, 7, 11], np.int32),
        gold=index % 3,
        question=f"question {index // 2}",
        rotation=index % 2,
    )


PROMPTS = [_prompt(index) for index in range(4)]
ENDS = np.array(LENGTHS)[:, None]
SPANS = every_span(
    Site.RESID_POST,
    {"early": ENDS - np.array([[4], [3], [5], [4]]), "late": ENDS - 2},
    np.array(LENGTHS),
    CONFIG,
)
PLANS = {
    "nodes": every_node(CONFIG),
    "residual": every_position(Site.RESID_PRE, CONFIG, tokens=3),
    "spans that stand elsewhere in each prompt": SPANS,
}


@functools.cache
def small_parameters():
    return tiny.random_parameters(CONFIG)


def small_sweep(plan, sources: Sources | Ablation = SOURCES, **options):
    return sweep(small_parameters(), PROMPTS, plan, sources, config=CONFIG, **options)


def assert_same(found, expected):
    assert list(found.values) == list(expected.values)
    for name, value in expected.values.items():
        np.testing.assert_allclose(
            found.values[name], value, rtol=0, atol=ROUNDING, err_msg=name
        )
