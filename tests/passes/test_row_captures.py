"""What is captured in resumed rows is what full passes under the same patches show."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site
from mcq_jax.passes import prefill, resume, run_prefix, see_fully
from mcq_jax.sweeps import every_node, every_position
from tests import tiny
from tests.passes.full_runs import LENGTHS, prompts

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
ENDS = np.array(LENGTHS)
LONG = min(LENGTHS)
# Scores of two heads from the answer position to keys early and late, the residual in
# front of it in one layer, and what one head writes: as a plan sees none of them.
CAPTURES = [
    Capture.of(
        Site.SCORES,
        layers=[2, 1],
        heads=[0, 3],
        positions=ENDS[:, None] - 1,
        keys=np.stack([0 * ENDS, ENDS - 2, ENDS - 1], axis=1),
    ),
    Capture.of(Site.RESID_POST, layers=[1], positions=ENDS[:, None] - [[2, 1]]),
    Capture.of(Site.Z, heads=[1], positions=ENDS[:, None] - 1),
]
PLANS = {
    "nodes at the answer position": every_node(CONFIG),
    "the residual anywhere": every_position(Site.RESID_PRE, CONFIG, tokens=3),
}


@functools.cache
def _parameters():
    return tiny.random_parameters(CONFIG)


def _sources(plan):
    """`[layer, prompt, source, *axes]`: two other prompts of the same lengths."""
    runs = [
        prefill(
            _parameters(), *prompts(CONFIG, seed=seed), config=CONFIG,
            suffix=plan.suffix, sites=plan.sites,
        ).activations
        for seed in (5, 6)
    ]  # fmt: skip
    return jax.tree.map(lambda *a: jnp.asarray(np.stack(a, axis=2)), *runs)


@pytest.mark.few
@pytest.mark.parametrize(
    ("name", "rows_at_once"),
    [
        pytest.param(name, rows, marks=[pytest.mark.exhaustive] * (p == r))
        for p, name in enumerate(PLANS)
        for r, rows in enumerate([None, 12])
    ],
)
def test_rows_show_what_full_passes_show(name: str, rows_at_once):
    plan = PLANS[name]
    tokens, lengths = prompts(CONFIG)
    start = prefill(_parameters(), tokens, lengths, config=CONFIG, suffix=LONG)
    sources = _sources(plan)
    found = resume(
        _parameters(), start, sources, plan, config=CONFIG, capture=CAPTURES,
        rows_at_once=rows_at_once,
    )  # fmt: skip
    expected = see_fully(
        _parameters(), tokens, lengths, sources, plan, CAPTURES, config=CONFIG
    )
    for own, full in zip(found.seen, expected, strict=True):
        np.testing.assert_allclose(own, full, rtol=0, atol=1e-4)
        # Rows that are born behind what is captured show the prompt as it was.
        own = np.asarray(own)
        assert (np.abs(own - own[:, :, :, -1:]) > 1e-2).any()
    without = resume(_parameters(), start, sources, plan, config=CONFIG).final
    np.testing.assert_allclose(found.final, without, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_positions_count_from_the_first_token_of_a_shared_beginning():
    plan = every_position(Site.RESID_PRE, CONFIG, tokens=2)
    tokens, lengths = prompts(CONFIG)
    begin = tiny.random_tokens(CONFIG, 1, 4, seed=9)[0]
    together = jnp.concatenate([jnp.tile(begin, (len(tokens), 1)), tokens], axis=1)
    at = np.array(lengths)[:, None] + 4
    capture = [
        Capture.of(
            Site.PATTERN, layers=[2], heads=[2], positions=at - 1, keys=at - [[7, 3, 1]]
        )
    ]
    run = prefill(
        _parameters(), *prompts(CONFIG, seed=5), config=CONFIG, suffix=2,
        sites=plan.sites,
    )  # fmt: skip
    sources = jax.tree.map(lambda a: a[:, :, None], run.activations)
    expected = see_fully(
        _parameters(), together, at[:, 0], sources, plan, capture, config=CONFIG
    )
    start = prefill(
        _parameters(), tokens, lengths, config=CONFIG, suffix=2,
        prefix=run_prefix(_parameters(), begin, config=CONFIG),
    )  # fmt: skip
    found = resume(_parameters(), start, sources, plan, config=CONFIG, capture=capture)
    np.testing.assert_allclose(found.seen[0], expected[0], rtol=0, atol=1e-5)


def test_captures_that_rows_do_not_have_are_refused():
    tokens, lengths = prompts(CONFIG)
    start = prefill(_parameters(), tokens, lengths, config=CONFIG, suffix=2)
    plan = every_node(CONFIG)
    at_answer = ENDS[:, None] - 1

    def refused(match: str, *given, **named):
        with pytest.raises(ValueError, match=match):
            capture = [Capture.of(*given, **named)]
            resume(
                _parameters(), start, _sources(plan), plan, config=CONFIG,
                capture=capture,
            )  # fmt: skip

    refused("at all positions", Site.Z)
    refused("at all keys", Site.SCORES, positions=at_answer)
    refused("which is in no layer", Site.LOGITS, positions=at_answer)
    refused(r"prompt 0: its last 2 tokens run, 5 to 6", Site.Z, positions=at_answer - 2)
    refused("prompt 1: .* keys .*keys up to the last", Site.SCORES,
            positions=at_answer, keys=[[4]])  # fmt: skip
    refused("the model has layers 0 to 2", Site.Z, positions=at_answer, layers=[7])
