"""Rows resumed under ordinary edits equal full forwards with the same edits."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site, add, patch
from mcq_jax.model import forward, sites_of
from mcq_jax.model.readers import read_by
from mcq_jax.passes import prefill, resume_edited, run_prefix
from mcq_jax.passes import resumed_edits as module
from tests import tiny
from tests.passes.full_runs import LENGTHS, prompts

GROUPED = "grouped heads, biases, partial rotation"
SUFFIX, LAYER = 3, 1
# The prompt of each row: some several times, in no order.
OF = np.array([2, 0, 1, 0, 2])
ENDS = np.array(LENGTHS)[OF]
# Where each row is edited: at the last token, the one before, or two before.
AT = (ENDS - 1 - np.array([0, 2, 1, 1, 2]))[:, None]
LAST = (ENDS - 1)[:, None]
ROUNDING = 1e-5


@functools.cache
def _model(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config)
    start = prefill(parameters, *prompts(config), config=config, suffix=SUFFIX)
    return config, parameters, start


@functools.cache
def _others(case: str) -> dict[Site, np.ndarray]:
    """What other prompts of the same lengths hold, `[layer, row, …]`."""
    config, parameters, _ = _model(case)
    tokens = np.asarray(prompts(config, seed=5)[0])[OF]
    sites = [site for site in sites_of(config) if site.per_layer]
    run = forward(parameters, tokens, config=config, capture=sites)
    return {site: np.asarray(held) for site, held in run.activations.items()}


def _edit(case: str, site: Site, weight: float = 1.0):
    """The site of `LAYER`, at one position of each row, from the other prompt's."""
    held = np.moveaxis(_others(case)[site][LAYER], 1 + site.position_axis, 1)
    at = held[np.arange(len(OF)), AT[:, 0]][:, None]
    value = np.moveaxis(at, 1, 1 + site.position_axis)[None]
    return patch(site, value, layers=[LAYER], positions=AT, weight=weight)


def _both(case: str, edits, capture=()):
    config, parameters, start = _model(case)
    tokens = np.asarray(prompts(config)[0])[OF]
    resumed = resume_edited(
        parameters, start, edits, of=OF, config=config, first_layer=LAYER,
        capture=capture,
    )  # fmt: skip
    at_end = Capture(site=Site.FINAL_RESID, positions=jnp.asarray(LAST))
    whole = forward(
        parameters, tokens, edits, config=config, capture=[*capture, at_end]
    )
    return resumed, whole.activations[Site.FINAL_RESID][:, 0], whole.activations


def _assert_close(found, expected, what: str):
    found, expected = np.asarray(found), np.asarray(expected)
    seen = np.isfinite(expected)
    np.testing.assert_array_equal(seen, np.isfinite(found), err_msg=what)
    scale = np.abs(np.where(seen, expected, 0)).max()
    close = np.where(seen, found, 0), np.where(seen, expected, 0)
    np.testing.assert_allclose(*close, rtol=0, atol=ROUNDING * scale, err_msg=what)


@pytest.mark.few
@tiny.every_case(2)
def test_every_site_edited_and_seen_equals_the_whole_pass(case: str):
    config, _, start = _model(case)
    sites = [site for site in sites_of(config) if site.per_layer]
    wishes = [
        Capture(site=site, layers=(LAYER, LAYER + 1), positions=jnp.asarray(LAST))
        for site in sites
    ]
    for site in sites[:: 1 if case == GROUPED else 4]:
        # All sites are edited, all but one by weight 0: one program for every site.
        edits = [_edit(case, other, float(other is site)) for other in sites]
        resumed, final, seen = _both(case, edits, wishes)
        _assert_close(resumed.final, final, f"{site}")
        clean = np.asarray(start.final)[OF]
        assert np.abs(np.asarray(final) - clean).max() > 1e-4 * np.abs(clean).max()
        for wish in wishes:
            what = f"{wish.site} under an edit of {site}"
            _assert_close(resumed.activations[wish.site], seen[wish.site], what)


@pytest.mark.slow
def test_gradients_are_those_of_the_whole_pass():
    config, parameters, start = _model(GROUPED)
    tokens = np.asarray(prompts(config)[0])[OF]
    at_end = Capture(site=Site.FINAL_RESID, positions=jnp.asarray(LAST))

    def edited(direction):
        steer = add(
            Site.MLP_OUT, direction[None, None, None], layers=[LAYER], positions=AT
        )
        return (_edit(GROUPED, Site.K), steer)

    def resumed(direction):
        run = resume_edited(
            parameters, start, edited(direction), of=OF, config=config,
            first_layer=LAYER,
        )  # fmt: skip
        return jnp.sin(run.final).sum()

    def whole(direction):
        run = forward(
            parameters, tokens, edited(direction), config=config, capture=[at_end]
        )
        return jnp.sin(run.activations[Site.FINAL_RESID]).sum()

    direction = jnp.linspace(-1, 1, config.width)
    found, expected = jax.grad(resumed)(direction), jax.grad(whole)(direction)
    assert np.abs(expected).max() > 0.1
    _assert_close(found, expected, "gradient")


@pytest.mark.parametrize("site", [Site.ROT_K, Site.V])
def test_one_head_reads_an_early_key_otherwise(site: Site):
    config, parameters, start = _model(GROUPED)
    readers = np.zeros((8, config.kv_heads, config.group), bool)
    readers[3:, 1, 2] = True  # not before the shortest prompt's last token
    key = jnp.asarray(np.random.default_rng(0).normal(size=(1, 1, 1, 2, 6)))
    edit = read_by(patch(site, key, layers=[LAYER], positions=[0]), readers)
    one = np.array([1])  # four tokens: the last is the first reader
    resumed = resume_edited(
        parameters, start, [edit], of=one, config=config, first_layer=LAYER
    )
    tokens = np.asarray(prompts(config)[0])[one]
    whole = forward(
        parameters, tokens, [edit], config=config, capture=[Site.FINAL_RESID]
    )
    _assert_close(resumed.final, whole.activations[Site.FINAL_RESID][:, 3], f"{site}")


def test_a_shared_prefix_renumbers_no_token():
    config, parameters, _ = _model(GROUPED)
    tokens, lengths = prompts(config)
    same = np.asarray(tokens).copy()
    same[:, :2] = same[0, :2]
    prefix = run_prefix(parameters, same[0, :2], config=config)
    options = {"config": config, "suffix": 2}
    behind = prefill(parameters, same[:, 2:], lengths - 2, prefix=prefix, **options)
    whole = prefill(parameters, same, lengths, **options)
    edit = _edit(GROUPED, Site.Q)
    edit = dataclasses.replace(edit, positions=jnp.asarray(LAST))
    found, expected = (
        resume_edited(
            parameters, start, [edit], of=OF, config=config, first_layer=LAYER,
            capture=[Capture(site=Site.PATTERN, positions=jnp.asarray(LAST))],
        )
        for start in (behind, whole)
    )  # fmt: skip
    _assert_close(found.final, expected.final, "final")
    seen = found.activations[Site.PATTERN]
    _assert_close(seen, expected.activations[Site.PATTERN], "pattern")


def _programs() -> int:
    return getattr(module._advance_edited, "_cache_size")()  # noqa: B009


def test_rows_and_layers_share_programs():
    config, parameters, start = _model(GROUPED)
    edit = _edit(GROUPED, Site.Z)
    before = _programs()
    for first_layer in (0, LAYER):
        for rows in (4, 5):
            few = dataclasses.replace(
                edit, positions=jnp.asarray(AT[:rows]), value=edit.value[:, :rows]
            )
            resume_edited(
                parameters, start, [few], of=OF[:rows], config=config,
                first_layer=first_layer,
            )  # fmt: skip
    assert _programs() - before <= 2


def test_what_lies_outside_the_kept_tokens_is_refused():
    config, parameters, start = _model(GROUPED)

    def run(*edits, **options):
        resume_edited(parameters, start, edits, of=OF, config=config, **options)

    early = add(Site.Z, 1.0, layers=[1], positions=[3])
    with pytest.raises(ValueError, match="row 0: from position 2 to 2; .* 3 to 5"):
        run(add(Site.Z, 1.0, layers=[1], positions=[2]))
    with pytest.raises(ValueError, match="row 1: from position 3 .* longer suffix"):
        run(early)
    with pytest.raises(ValueError, match="row 2: from position 4 to 4"):
        run(add(Site.Z, 1.0, layers=[1], positions=[4]))
    with pytest.raises(ValueError, match="None is all"):
        run(add(Site.Z, 1.0, layers=[1]))
    at_end = add(Site.Z, 1.0, layers=[0], positions=LAST)
    with pytest.raises(ValueError, match="begin with layer 1; begin earlier"):
        run(at_end, first_layer=1)
    with pytest.raises(ValueError, match="only layers run"):
        run(add(Site.LOGITS, 1.0, positions=LAST))
