"""In bfloat16, what nearly ties is run again with float32 activations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site
from mcq_jax.results import RunFolder
from mcq_jax.sweeps import (
    bank,
    every_node,
    every_position,
    near_ties,
    patched_net,
    sweep,
)
from tests.sweeps.small import CONFIG, PROMPTS, SOURCES, small_parameters

METRICS = {"net": patched_net, "margin": near_ties.margin}
PLANS = {
    "nodes": every_node(CONFIG),
    "residual": every_position(Site.RESID_PRE, CONFIG, tokens=2),
}


def _cast(dtype):
    return jax.tree.map(lambda a: a.astype(dtype), small_parameters())


def _sweep(parameters, plan, **changes):
    named = {"config": CONFIG, "metrics": METRICS, **changes}
    return sweep(parameters, PROMPTS, plan, SOURCES, **named)


@pytest.mark.few
@pytest.mark.parametrize("name", PLANS)
def test_near_ties_have_the_numbers_of_float32_and_the_others_those_of_bfloat16(
    name: str, monkeypatch, tmp_path
):
    plan = PLANS[name]
    low = _cast(jnp.bfloat16)
    monkeypatch.setattr(near_ties, "NEAR", 0.0)
    plain = _sweep(low, plan).values
    assert not plain[near_ties.RERUN].any()
    monkeypatch.setattr(near_ties, "NEAR", 0.2)
    folder = RunFolder.open(tmp_path, {"identity": {}})
    found = _sweep(low, plan, folder=folder).values
    near = found[near_ties.RERUN].astype(bool)
    assert (near == (plain["margin"] < 0.2)).all()
    assert 0 < near.sum() < near.size
    # The same weights in float32: then activations are, too.
    wide = jax.tree.map(lambda a: a.astype(jnp.float32), low)
    precise = _sweep(wide, plan).values
    assert near_ties.RERUN not in precise
    assert (found["net"][~near] == plain["net"][~near]).all()
    scale = np.abs(precise["net"]).max()
    np.testing.assert_allclose(
        found["net"][near], precise["net"][near], atol=1e-5 * scale
    )
    # What rounding to bfloat16 does to a row, stated.
    apart = np.abs(plain["net"] - precise["net"]).max()
    assert 1e-4 * scale < apart < 0.05 * scale


@pytest.mark.slow
def test_only_prompts_that_nearly_tie_and_their_sources_are_run_again(monkeypatch):
    plan, filled = PLANS["nodes"], []
    low = _cast(jnp.bfloat16)
    margins = _sweep(low, plan).values["margin"].min(axis=(1, 2))
    order = np.argsort(margins)
    near = (margins[order[0]] + margins[order[1]]) / 2
    monkeypatch.setattr(near_ties, "NEAR", near)

    def fill_bank(parameters, asked, *rest, **how):
        filled.extend(asked)
        return bank.fill_bank(parameters, asked, *rest, **how)

    monkeypatch.setattr(near_ties, "fill_bank", fill_bank)
    found = _sweep(low, plan, prompts_at_once=1).values
    rerun = found[near_ties.RERUN].astype(bool).any(axis=(1, 2))
    assert np.flatnonzero(rerun).tolist() == [order[0]]
    needed = {order[0], *SOURCES.index[order[0]]}
    assert filled == [PROMPTS[place] for place in sorted(needed)]
    everyone = bank.fill_bank(low, PROMPTS, plan, CONFIG, 4, activations=jnp.float32)
    some = bank.bank_of_some(
        {place: everyone.take(place) for place in needed}, len(PROMPTS)
    )
    for site, array in some.held.items():
        for place in range(len(PROMPTS)):
            same = everyone.held[site][:, place] * (place in needed)
            assert (array[:, place] == same).all()


@pytest.mark.slow
def test_resumed_rows_in_bfloat16_are_near_those_of_full_passes():
    low = _cast(jnp.bfloat16)
    for plan in PLANS.values():
        fast = _sweep(low, plan, metrics={"net": patched_net}).values
        slow = _sweep(low, plan, metrics={"net": patched_net}, by_full_passes=True)
        scale = np.abs(slow.values["net"]).max()
        keep = ~fast[near_ties.RERUN].astype(bool)
        apart = np.abs(fast["net"] - slow.values["net"])[keep]
        assert apart.max() < 0.03 * scale


def test_a_margin_is_a_share_of_the_largest_logit():
    answers = dataclasses.make_dataclass("Answers", ["logits"])
    outcome = dataclasses.make_dataclass("Outcome", ["patched"])
    found = near_ties.margin(outcome(answers(jnp.array([1.0, -8.0, 3.0]))))  # pyright: ignore
    assert float(found) == pytest.approx(2 / 8)
