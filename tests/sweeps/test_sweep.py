"""One call from prompts and a plan to a labelled table, by any route the same."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import monitoring

from mcq_jax import metrics
from mcq_jax.interventions import Node, Site, patch
from mcq_jax.model import forward
from mcq_jax.passes import Subspaces, UnitSets
from mcq_jax.prompts import TokenisedPair, TokenisedPrompt
from mcq_jax.sweeps import (
    EFFECTS,
    Ablation,
    Direction,
    Sources,
    chunk_work,
    every_node,
    every_unit,
    near_ties,
    net_effect,
    node_sets,
    patched_net,
    prompts_of_pairs,
    sweep,
)
from tests import tiny
from tests.sweeps.small import (
    CONFIG,
    LENGTHS,
    PLANS,
    PROMPTS,
    ROUNDING,
    SOURCES,
    SPANS,
    assert_same,
    small_parameters,
    small_sweep,
)


@pytest.mark.few
@pytest.mark.parametrize(
    ("name", "direction"),
    [
        pytest.param(
            name, direction, marks=[pytest.mark.exhaustive] * (p > 0 and (p + d) % 2)
        )
        for p, name in enumerate(PLANS)
        for d, direction in enumerate(Direction)
    ],
)
def test_a_sweep_equals_full_passes_in_both_directions(name: str, direction: Direction):
    found = small_sweep(PLANS[name], direction=direction, prompts_at_once=2)
    expected = small_sweep(PLANS[name], direction=direction, by_full_passes=True)
    assert_same(found, expected)
    assert np.abs(found.values["net"]).max() > 0.1


@pytest.mark.parametrize("direction", Direction)
def test_prompts_of_one_batch_are_run_once(direction: Direction, monkeypatch):
    """What fills the bank is what rows are resumed from, and the numbers stay."""
    expected = small_sweep(SPANS, direction=direction, prompts_at_once=3)

    def run_again(*_, **__):
        raise AssertionError("prompts were run again")

    monkeypatch.setattr(chunk_work, "prefill", run_again)
    assert_same(small_sweep(SPANS, direction=direction), expected)
    with pytest.raises(AssertionError, match="prompts were run again"):
        small_sweep(SPANS, direction=direction, prompts_at_once=3)


@pytest.mark.parametrize("ablation", Ablation)
def test_ablations_equal_full_passes(ablation: Ablation):
    plan = every_unit(Site.Z, CONFIG)
    found, expected = (
        small_sweep(plan, ablation, by_full_passes=flag) for flag in (False, True)
    )
    assert_same(found, expected)
    assert found.sources == (ablation.name.lower(),)


def test_the_mean_is_that_of_all_prompts_at_their_ends():
    """By hand: one head's output, captured in each prompt and patched into one."""
    plan = every_unit(Site.Z, CONFIG)
    found = small_sweep(plan, Ablation.MEAN, metrics={"after": patched_net})
    run = functools.partial(forward, small_parameters(), config=CONFIG)
    seen = [run(p.ids[None], capture=Site.Z).activations[Site.Z] for p in PROMPTS]
    mean = np.mean([np.asarray(z)[:, 0, -1] for z in seen], axis=0)  # [layer, …]
    layer, head, prompt = 1, 2, PROMPTS[1]
    edit = patch(
        Site.Z,
        mean[layer][None, None, None],
        layers=[layer],
        heads=[head],
        positions=[LENGTHS[1] - 1],
    )
    logits = run(prompt.ids[None], [edit]).logits[0, -1]
    expected = metrics.net(logits[prompt.answer_ids], jnp.int32(prompt.gold))
    after = found.values["after"][1, 0, layer * CONFIG.heads + head]
    np.testing.assert_allclose(after, expected, rtol=0, atol=ROUNDING)
    others = np.asarray(seen[0])[layer, 0, -1] - mean[layer]
    assert np.abs(others).max() > 0.01


@pytest.mark.parametrize("direction", Direction)
def test_a_span_is_read_where_its_own_prompt_has_it(direction: Direction):
    """By hand: captured at its place in one prompt, patched at its place in another."""
    found = small_sweep(SPANS, direction=direction, metrics={"after": patched_net})
    place = {0: LENGTHS[0] - 4, 1: LENGTHS[1] - 3}  # not as far from their ends
    own, other = (0, 1) if direction is Direction.NOISE else (1, 0)
    run = functools.partial(forward, small_parameters(), config=CONFIG)
    seen = run(PROMPTS[other].ids[None], capture=Site.RESID_POST).activations
    layer, clean = 1, PROMPTS[0]
    held = np.asarray(seen[Site.RESID_POST])[layer, :, place[other]]
    edit = patch(
        Site.RESID_POST, held[None, :, None], layers=[layer], positions=[place[own]]
    )
    logits = run(PROMPTS[own].ids[None], [edit]).logits[0, -1]
    expected = metrics.net(logits[clean.answer_ids], jnp.int32(clean.gold))
    is_row = (SPANS.labels["span"] == "early") & (SPANS.labels["layer"] == layer)
    after = found.values["after"][0, 1, is_row]
    np.testing.assert_allclose(after, expected, rtol=0, atol=ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["units", "subspaces"])
def test_all_of_a_site_at_spans_is_what_a_patch_of_the_spans_is(kind: str):
    """Each source is read at its own prompt's span, whichever plan says so.

    By full passes as well: their edits are told the same places.
    """
    rows, width = len(SPANS.layers), CONFIG.width
    whole = np.zeros((rows, CONFIG.layers, 1), bool)
    whole[np.arange(rows), SPANS.layers] = True
    if kind == "units":
        plan = UnitSets(masks={SPANS.site: whole}, offsets=SPANS.offsets)
    else:
        nothing = np.zeros((CONFIG.layers, 1, 1, 1, width), np.float32)
        plan = Subspaces(
            site=SPANS.site, basis=nothing, gates=np.zeros((*whole.shape, 1)),
            outside=whole.astype(np.float32), offsets=SPANS.offsets,
        )  # fmt: skip
    assert_same(small_sweep(plan), small_sweep(SPANS))


def _all_heads(site: Site, **options) -> UnitSets:
    """One row: every head in every layer."""
    masks = {site: np.ones((1, CONFIG.layers, CONFIG.heads), bool)}
    return UnitSets(masks=masks, **options)


def test_patterns_are_patched_from_prompts_of_the_same_length():
    plan = every_unit(Site.PATTERN, CONFIG)
    same = Sources(kinds=("other",), index=SOURCES.index[:, :1])
    assert_same(small_sweep(plan, same), small_sweep(plan, same, by_full_passes=True))
    for every in (plan, _all_heads(Site.PATTERN)):
        with pytest.raises(ValueError, match="only from a prompt of the same length"):
            small_sweep(every)


def test_places_are_those_of_all_prompts_or_of_each():
    offsets = np.full((len(PROMPTS) + 1, 1, 1), -1)
    for places in ({"offsets": offsets}, {"source_offsets": offsets[:, None]}):
        with pytest.raises(ValueError, match="places for 5 prompts, and 4 are asked"):
            small_sweep(_all_heads(Site.Z, **places))


def test_restoring_every_node_restores_what_noising_takes_away():
    # Everything that is written at the end: noised, the prompt answers as its source
    # would with the prompt's own embedding, which two ends of one token share.
    plan = node_sets([[Node(layer, h) for layer in range(CONFIG.layers)
                       for h in (*range(CONFIG.heads), None)]], CONFIG)  # fmt: skip
    asked = [
        TokenisedPrompt(**{**vars(p), "ids": np.append(p.ids, 4).astype(np.int32)})
        for p in PROMPTS
    ]
    runs = {
        direction: sweep(
            small_parameters(), asked, plan, SOURCES, config=CONFIG,
            direction=direction, metrics={"after": patched_net, "effect": net_effect},
        ).values
        for direction in Direction
    }  # fmt: skip
    noise, denoise = runs[Direction.NOISE], runs[Direction.DENOISE]
    np.testing.assert_allclose(noise["effect"], -denoise["effect"], atol=ROUNDING)


def first_logit(outcome):
    """A user's own metric."""
    return outcome.patched.logits[0]


@pytest.mark.parametrize("direction", Direction)
def test_pairs_are_patched_from_their_own_sources(direction: Direction):
    others = [2, 3, 0]
    pairs = [
        TokenisedPair(clean=PROMPTS[i], source=PROMPTS[other])
        for i, other in enumerate(others)
    ]
    asked, sources = prompts_of_pairs(pairs)
    assert sources.kinds == ("pair",) and len(asked) == 6
    named = {"config": CONFIG, "direction": direction}
    found = sweep(small_parameters(), asked, PLANS["nodes"], sources, **named)
    by_hand = Sources(kinds=("pair",), index=np.array(others)[:, None])
    expected = sweep(small_parameters(), PROMPTS, PLANS["nodes"], by_hand, **named)
    assert_same(found, expected)


def test_a_users_metric_is_as_good_as_ours():
    plan = every_node(CONFIG)
    own = small_sweep(plan, metrics={"first": first_logit}).values["first"]
    again = small_sweep(plan, metrics={"first": first_logit}, full_vocabulary=False)
    np.testing.assert_allclose(again.values["first"], own, rtol=0, atol=ROUNDING)
    with pytest.raises(ValueError, match="sweep with full_vocabulary=True"):
        small_sweep(plan, full_vocabulary=False)


@pytest.fixture
def compiled():
    """The programs that are compiled, one entry each."""
    seen: list[str] = []

    def note(event: str, duration_secs: float, **_) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield seen
    monitoring.unregister_event_duration_listener(note)


def _longer(prompt: TokenisedPrompt, tokens: int) -> TokenisedPrompt:
    before = np.arange(tokens, dtype=np.int32) % CONFIG.vocabulary
    return dataclasses.replace(prompt, ids=np.concatenate([before, prompt.ids]))


@pytest.mark.slow
def test_only_a_new_length_or_dtype_compiles_anything(compiled, monkeypatch):
    """Other chunks, prompts and sources run the programs that there are."""
    monkeypatch.setattr(near_ties, "NEAR", 0.0)  # how many nearly tie is their affair
    plan = every_node(CONFIG)
    wide = dataclasses.replace(CONFIG, context=64)
    others = Sources(kinds=("a", "b"), index=SOURCES.index[:, ::-1])

    def programs(prompts, sources=SOURCES, parameters=None) -> int:
        compiled.clear()
        sweep(
            small_parameters() if parameters is None else parameters,
            prompts, plan, sources, config=wide, prompts_at_once=2,
        )  # fmt: skip
        return len(compiled)

    assert programs(PROMPTS) > 0
    assert programs(PROMPTS[::-1], others) == 0
    assert programs([_longer(prompt, 3) for prompt in PROMPTS]) == 0  # same padding
    longer = [_longer(prompt, 12) for prompt in PROMPTS]
    assert programs(longer) > 0
    assert programs(longer[::-1], others) == 0
    narrow = tiny.random_parameters(CONFIG, dtype=jnp.bfloat16)
    assert programs(PROMPTS, parameters=narrow) > 0
    assert programs(PROMPTS[::-1], others, parameters=narrow) == 0


def test_a_table_names_what_it_holds():
    table = small_sweep(PLANS["residual"])
    columns = table.columns()
    assert {len(c) for c in columns.values()} == {4 * 2 * 9}
    row = 1 * 2 * 9 + 1 * 9 + 5  # prompt 1, source 1, row 5
    assert columns["net"][row] == table.values["net"][1, 1, 5]
    assert columns["source"][row] == "any" and columns["question"][row] == "question 0"
    assert (columns["layer"][row], columns["offset"][row]) == (1, -1)
    found = table.summary("net", source="any")
    expected = metrics.interval(table.values["net"][:, 1, 5], table.prompts["question"])
    assert found.mean[5] == pytest.approx(expected.mean)
    assert found.top(1)[0]["mean"] == pytest.approx(
        found.mean[np.abs(found.mean).argmax()]
    )


def test_a_table_becomes_a_frame_and_a_data_set():
    table = small_sweep(PLANS["nodes"])
    pandas = pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    by_node = frame[frame.source == "any"].groupby("node", sort=False).net.mean()
    assert by_node["L1H2"] == pytest.approx(table.values["net"][:, 1, 11].mean())
    pytest.importorskip("xarray")
    held = table.to_xarray()
    assert held["net"].dims == ("prompt", "source", "row")
    assert held["net"].sel(source="other").shape == (4, CONFIG.layers * CONFIG.nodes)


def test_sweeps_that_cannot_be_are_refused():
    plan = every_node(CONFIG)
    with pytest.raises(ValueError, match="source 9 of 4 prompts"):
        small_sweep(plan, Sources(kinds=("a",), index=np.full((4, 1), 9)))
    with pytest.raises(ValueError, match="hold the same wherever the plan patches"):
        small_sweep(plan, Sources(kinds=("self",), index=np.arange(4)[:, None]))
    with pytest.raises(ValueError, match="needs a prompt to restore from"):
        small_sweep(plan, Ablation.ZERO, direction=Direction.DENOISE)
    with pytest.raises(ValueError, match="places for 4 prompts, and 3 are asked"):
        sweep(small_parameters(), PROMPTS[:3], SPANS, Ablation.ZERO, config=CONFIG)
    with pytest.raises(ValueError, match="no prompts to patch"):
        sweep(small_parameters(), [], plan, Ablation.ZERO, config=CONFIG)


def test_effects_are_those_of_the_definitions():
    found = small_sweep(every_node(CONFIG), metrics={**EFFECTS, "after": patched_net})
    before = found.values["net"] + found.values["after"]
    np.testing.assert_allclose(before, before[:, :1, :1] + 0 * before, atol=ROUNDING)
    assert (found.values["kl"] > -1e-6).all()
    assert jnp.isfinite(found.values["loss"]).all()


def test_a_model_whose_numbers_are_none_is_refused_with_where_they_first_are_not():
    parameters = tiny.random_parameters(CONFIG)
    last = parameters.layers[-1]
    up = last["feedforward"]["up"].at[0, 0, 0].set(jnp.nan)
    broken = {**last, "feedforward": {**last["feedforward"], "up": up}}
    broken = parameters._replace(layers=(*parameters.layers[:-1], broken))
    where = f"4 of 4 prompts .* from mlp_pre of layer {CONFIG.layers - 1} on .*token 0"
    same = [PROMPTS[0]] * 4  # they begin alike: what they share is run by itself
    for asked in (PROMPTS, same):
        with pytest.raises(ValueError, match=where):
            sweep(broken, asked, every_node(CONFIG), SOURCES, config=CONFIG)
