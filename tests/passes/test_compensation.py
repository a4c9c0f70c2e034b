"""Self-repair taken apart equals full forwards, the norm's scale frozen and free."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site, patch
from mcq_jax.model import forward
from mcq_jax.passes import NodeSets, compensate, prefill
from tests import tiny
from tests.passes.full_runs import LENGTHS, SOURCES, prompts, random_sources

ROUNDING = 2e-5  # of the largest logit
ANSWERS = np.array([[3, 5, 8], [1, 2, 4], [0, 7, 9]])[: len(LENGTHS)]


def _net(logits) -> np.ndarray:
    """Answer 0 less the mean of the others."""
    logits = np.asarray(logits, np.float64)
    return logits[..., 0] - logits[..., 1:].mean(-1)


def _full(parameters, config, sources, source: int, mask, *, held=None):
    """Net logits before any cap by a plain forward, and the final norm's scale."""
    tokens, lengths = prompts(config)
    last = jnp.asarray(lengths)[:, None] - 1
    heads = np.asarray(mask)[:, : config.heads].reshape(
        config.layers, 1, 1, config.kv_heads, config.group, 1
    )
    blocks = np.asarray(mask)[:, config.heads :][:, None, None]
    edits = [
        patch(
            site, sources[site][:, :, source], layers=range(config.layers),
            positions=last, weight=weight.astype(np.float32),
        )
        for site, weight in ((Site.Z, heads), (Site.MLP_OUT, blocks))
    ]  # fmt: skip
    if held is not None:
        edits.append(patch(Site.FINAL_SCALE, held, positions=last))
    config = dataclasses.replace(config, logit_cap=None)
    wishes = [Capture(site=Site.FINAL_SCALE, positions=last)]
    run = forward(parameters, tokens, edits, config=config, capture=wishes)
    rows = np.arange(len(LENGTHS))
    logits = np.asarray(run.logits)[rows, np.asarray(last)[:, 0]]
    scale = run.activations[Site.FINAL_SCALE]
    return _net(logits[rows[:, None], ANSWERS]), scale


USUAL = "grouped heads, biases, partial rotation"
NORMED = "as Gemma 2: norms on both sides, caps, windows"
OTHERS = [case for case in tiny.FAMILIES if case != NORMED]


@pytest.mark.few
@pytest.mark.parametrize(
    "case",
    [USUAL, NORMED, *(pytest.param(c, marks=pytest.mark.exhaustive) for c in OTHERS)],
)
def test_parts_add_up_to_full_forwards_with_the_scale_frozen_and_free(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config, sizes=(1, 1, 1))
    start = prefill(parameters, *prompts(config), config=config)
    sources = random_sources(config)
    masks = np.random.default_rng(1).random((4, config.layers, config.nodes)) < 0.3
    masks[0] = False
    masks[0, 0, 0] = True
    found = compensate(
        parameters, start, sources, NodeSets(masks), ANSWERS, config=config
    )
    nothing = np.zeros_like(masks[0])
    clean, scale = _full(parameters, config, sources, 0, nothing)
    size = max(1.0, float(np.abs(found.later).max()))
    parts = found.direct - found.later.sum(axis=(3, 4))
    for row, mask in enumerate(masks):
        for source in range(SOURCES):
            for name, held, ours in (
                ("frozen", scale, found.frozen),
                ("frozen, by parts", scale, parts),
                ("free", None, found.free),
            ):
                lost = _full(parameters, config, sources, source, mask, held=held)[0]
                np.testing.assert_allclose(
                    _net(ours[:, source, row]), clean - lost, rtol=0,
                    atol=ROUNDING * size, err_msg=f"{name}, row {row}",
                )  # fmt: skip
    is_earlier = np.arange(config.layers) < masks[1:].any(-1).argmax(-1)[:, None]
    earlier = np.asarray(found.later)[:, :, 1:][:, :, is_earlier]
    assert np.abs(earlier).max(initial=0) < ROUNDING * size
