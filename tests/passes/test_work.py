"""Work is counted as it runs: by hand for each kind of pass, and never while traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import costs, sweeps
from mcq_jax.interventions import Site, patch
from mcq_jax.model import forward, work
from mcq_jax.model.work import Amount, Work
from mcq_jax.passes import (
    prefill,
    read_answers,
    resume,
    resume_edited,
    run_prefix,
)
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
LAYERS, PROMPTS, TOKENS = CONFIG.layers, 2, 5
IDS = np.arange(PROMPTS * TOKENS, dtype=np.int32).reshape(PROMPTS, TOKENS)
LENGTHS = np.full(PROMPTS, TOKENS)
# Token i of a prompt reads i keys: 1 + 2 + … + 5.
PASS = Amount(token_layers=PROMPTS * TOKENS * LAYERS, key_layers=PROMPTS * 15 * LAYERS)


@pytest.fixture(scope="module")
def parameters():
    return tiny.random_parameters(CONFIG)


def test_a_forward_pass_is_its_tokens_times_layers(parameters):
    with work.counting() as outer:
        with work.counting() as counter:
            forward(parameters, IDS, config=CONFIG)
        forward(parameters, IDS, config=CONFIG)
    logits = Amount(unembedded=PROMPTS * TOKENS)
    assert counter.work == Work(prompts=PASS + logits, as_full_passes=PASS + logits)
    assert outer.work == counter.work + counter.work
    forward(parameters, IDS, config=CONFIG)
    assert outer.work == counter.work + counter.work  # closed


def test_a_prefix_is_run_once_and_saved_by_every_prompt(parameters):
    prefix = run_prefix(parameters, np.arange(3, dtype=np.int32), config=CONFIG)
    with work.counting() as counter:
        prefill(parameters, IDS, LENGTHS, config=CONFIG, prefix=prefix)
    behind = PASS + Amount(key_layers=PROMPTS * TOKENS * 3 * LAYERS)
    assert counter.work.prompts == behind
    whole = work.through_layers(PROMPTS, TOKENS + 3, LAYERS)
    assert counter.work.as_full_passes == whole


def test_patched_rows_run_from_their_births_and_count_as_full_passes(parameters):
    start = prefill(parameters, IDS, LENGTHS, config=CONFIG)
    # [layer, prompt, source, position, …]
    held = {site: a[:, :, None, None] for site, a in start.nodes.items()}
    plan = sweeps.every_node(CONFIG)
    with work.counting() as counter:
        rows = resume(parameters, start, held, plan, config=CONFIG)
        ids = np.zeros((PROMPTS, 4), np.int32)
        read_answers(parameters.unembedding, rows.final, ids, config=CONFIG)
        read_answers(parameters.unembedding, start.final, ids, config=CONFIG)
        read_answers(
            parameters.unembedding, start.final, ids, config=CONFIG,
            full_vocabulary=False,
        )  # fmt: skip
    runs = PROMPTS * len(plan.births)
    least = PROMPTS * int((LAYERS - plan.births).sum())
    found = counter.work
    # At least from their births on; filled up to common sizes, and never twice as much.
    assert least <= found.rows.token_layers < 2 * runs * LAYERS
    assert found.rows.key_layers == TOKENS * found.rows.token_layers
    assert found.rows.unembedded == runs and found.prompts.unembedded == PROMPTS
    full = work.through_layers(runs, TOKENS, LAYERS)
    assert found.as_full_passes == full + Amount(unembedded=runs + PROMPTS)


def test_what_is_traced_is_not_counted_but_a_slope_is_thrice(parameters):
    start = prefill(parameters, IDS, LENGTHS, config=CONFIG)

    def last(value):
        edit = patch(
            Site.RESID_PRE, value[None, :, None], layers=[LAYERS - 1],
            positions=LENGTHS[:, None] - 1,
        )  # fmt: skip
        run = resume_edited(
            parameters, start, [edit], of=np.arange(PROMPTS), config=CONFIG,
            first_layer=LAYERS - 1,
        )  # fmt: skip
        return run.final.sum()

    value = jnp.ones((PROMPTS, CONFIG.width))
    with work.counting() as traced:
        jax.jit(last)(value)
        jax.make_jaxpr(lambda ids: forward(parameters, ids, config=CONFIG).logits)(IDS)
    assert traced.work == Work()
    with work.counting() as plain:
        last(value)
    with work.counting() as sloped, work.with_slopes():
        jax.value_and_grad(last)(value)
    assert plain.work.rows.token_layers > 0
    assert sloped.work.rows == plain.work.rows.times(3)
    assert sloped.work.as_full_passes == plain.work.as_full_passes.times(3)


def test_flops_of_counted_work_are_those_of_a_pass():
    amount = work.through_layers(1, 8, LAYERS)
    exact = costs.work_flops(CONFIG, amount)
    by_layer = LAYERS * sum(costs.layer_flops(CONFIG, keys=n + 1) for n in range(8))
    assert exact == pytest.approx(by_layer)
    logits = costs.work_flops(CONFIG, Amount(unembedded=3))
    assert logits == 3 * costs.unembed_flops(CONFIG)
