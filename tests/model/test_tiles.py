"""Long sequences, whose queries are cut into stretches: nothing else may show it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site, patch
from mcq_jax.model import forward, read_by
from mcq_jax.model.tiles import stretches
from tests import tiny

LENGTH, LAYER = 150, 1
# Of the largest number, in float32.
ROUNDING = 1e-5
GROUPED = "grouped heads, biases, partial rotation"

CASES = [
    GROUPED,
    "as GPT-2: layer norm, learned positions",
    "as Gemma 2: norms on both sides, caps, windows",
    "as Chinchilla: relative positions",
]
every_case = pytest.mark.parametrize("case", CASES)


@functools.cache
def _model(case: str):
    config = dataclasses.replace(tiny.CASES[case], context=LENGTH)
    return config, tiny.random_parameters(config, sizes=(config.layers,))


def _run(case: str, *edits, tokens=None, capture=()):
    config, parameters = _model(case)
    tokens = tiny.random_tokens(config, 2, LENGTH) if tokens is None else tokens
    run = jax.jit(lambda p, e: forward(p, tokens, e, config=config, capture=capture))
    return run(parameters, edits)


def _assert_close(found, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=ROUNDING * scale, rtol=0)


@pytest.mark.parametrize("queries", [1, 63, 64, 65, 150, 512, 513, 1024, 5000])
def test_stretches_cover_all_queries_and_are_few(queries: int):
    parts = stretches(queries)
    covered = [i for part in parts for i in range(part.start, part.stop)]
    assert covered == list(range(queries))
    assert len(parts) <= 8
    assert len(parts) == 1 or queries > 64


@pytest.mark.few
@pytest.mark.parametrize(
    ("case", "site"),
    [(GROUPED, Site.SCORES), *zip(CASES, [Site.PATTERN, Site.SCORES] * 2, strict=True)],
)
def test_at_weight_zero_edits_of_all_scores_do_nothing_bit_for_bit(case, site):
    plain = _run(case).logits
    edit = patch(site, np.nan, layers=[LAYER], weight=0.0)
    np.testing.assert_array_equal(_run(case, edit).logits, plain)


@pytest.mark.few
@every_case
def test_a_later_token_changes_nothing_before_it(case: str):
    config, _ = _model(case)
    tokens = tiny.random_tokens(config, 2, LENGTH)
    whole = _run(case).logits
    # One stretch; two; within the last. Each length compiles its own program.
    for length in (50, 64, 100, 130) if case == GROUPED else (100,):
        short = _run(case, tokens=tokens[:, :length]).logits
        _assert_close(whole[:, :length], short)


@pytest.mark.few
@pytest.mark.parametrize("site", [Site.SCORES, Site.PATTERN])
def test_an_edit_can_show_a_key_of_the_future(site: Site):
    config, _ = _model(GROUPED)
    query, key, sites = 10, 140, [Site.SCORES, Site.PATTERN, Site.V, Site.Z]
    value = 3.0 if site is Site.SCORES else 0.5
    edit = patch(site, value, positions=[query], keys=[key], layers=[LAYER])
    run = _run(GROUPED, edit, capture=sites).activations
    scores, pattern, v, z = (np.asarray(run[s], np.float64)[LAYER] for s in sites)
    if site is Site.SCORES:
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        _assert_close(pattern, shares / shares.sum(-1, keepdims=True))
    assert (pattern[:, :, :, query, key] > 0.01).all()
    future = np.triu(np.ones((LENGTH, LENGTH), bool), 1)
    future[query, key] = False
    assert (pattern[..., future] == 0).all()
    _assert_close(z, np.einsum("rkgqs,rskh->rqkgh", pattern, v))
    assert config.group > 1


@pytest.mark.few
@pytest.mark.parametrize("site", [Site.K, Site.ROT_K, Site.V])
def test_some_queries_read_edited_keys_and_the_others_do_not(site: Site):
    config, _ = _model(GROUPED)
    shape = (1, 2, LENGTH, config.kv_heads, config.head_width)
    value = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    edit = patch(site, value, layers=[LAYER])
    readers = np.zeros((LENGTH, config.kv_heads, config.group), bool)
    readers[[3, 70, 149], 1] = True
    plain, edited, mixed = (
        _run(GROUPED, *edits, capture=[Site.Z]).activations[Site.Z][LAYER]
        for edits in ((), (edit,), (read_by(edit, readers),))
    )
    _assert_close(mixed, jnp.where(readers[None, ..., None], edited, plain))
    assert np.abs(edited - plain)[:, [3, 70, 149], 1].max() > 0.1


@pytest.mark.few
@pytest.mark.parametrize("site", [Site.SCORES, Site.PATTERN])
@pytest.mark.parametrize("shown", [(), (140,)])
def test_some_queries_are_kept_as_if_all_were(site: Site, shown: tuple[int, ...]):
    at = jnp.array([[0, 63, 64, 149], [149, 100, 7, 148]])
    edits = [
        patch(Site.SCORES, 1.0, positions=[7], keys=[key], layers=[LAYER])
        for key in shown
    ]
    some = _run(GROUPED, *edits, capture=[Capture(site=site, positions=at)])
    all_of_them = _run(GROUPED, *edits, capture=[site]).activations[site]
    expected = np.stack([all_of_them[:, row][..., at[row], :] for row in (0, 1)], 1)
    np.testing.assert_array_equal(some.activations[site], expected)
