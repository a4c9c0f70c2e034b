"""Every plan, resumed, equals full forwards with the same patches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Node, Site, add, project_out, scale, zero_ablate
from mcq_jax.interventions.projections import orthonormal
from mcq_jax.model import sites_of
from mcq_jax.passes import (
    EditRows,
    NodeSets,
    Patches,
    Subspaces,
    UnitSets,
    prefill,
    resume,
    run_fully,
)
from mcq_jax.sweeps import (
    cumulative,
    every_layer,
    every_position,
    every_span,
    every_unit,
    leave_one_out,
    node_sets,
    pairs,
)
from tests import tiny
from tests.passes.full_runs import LENGTHS, prompts, random_sources

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
LONG = min(LENGTHS)
# Relative to the largest entry of the residual stream, in float32.
ROUNDING = 1e-5
ENDS = np.array(LENGTHS)[:, None]
# From the start, as `span_positions` has them: in different places by prompt.
SPANS = {"label": ENDS - 3, "option": ENDS - np.array([[4, 2], [3, 2], [4, 3]])}

PLANS: dict[str, Patches] = {
    "heads": every_unit(Site.Z, CONFIG),
    "queries": every_unit(Site.Q, CONFIG),
    "keys": every_unit(Site.K, CONFIG),
    "values, earlier": every_unit(Site.V, CONFIG, offsets=[-3]),
    "rows of the pattern": every_unit(Site.PATTERN, CONFIG),
    "the pattern of an earlier token": every_unit(Site.PATTERN, CONFIG, offsets=[-2]),
    "single neurons": every_unit(Site.MLP_POST, CONFIG),
    "residual by layer and position": every_position(
        Site.RESID_PRE, CONFIG, tokens=LONG
    ),
    "residual behind a layer": every_position(Site.RESID_POST, CONFIG, tokens=2),
    "attention by layer and position": every_position(
        Site.ATTN_OUT, CONFIG, tokens=LONG
    ),
    "blocks of some layers": every_position(
        Site.MLP_OUT, CONFIG, tokens=3, layers=[2, 0]
    ),
    "blocks of all earlier tokens at once": every_layer(
        Site.MLP_OUT, CONFIG, offsets=range(-LONG, -1)
    ),
    "spans": every_span(Site.RESID_PRE, SPANS, np.array(LENGTHS), CONFIG),
}


@functools.cache
def _model(sizes=(1, 1, 1)):
    return tiny.random_parameters(CONFIG, sizes=sizes)


@functools.cache
def _every_source() -> dict[Site, np.ndarray]:
    """`[layer, prompt, source, *axes]`: two other prompts of the same lengths."""
    sites = tuple(s for s in sites_of(CONFIG) if s.per_layer and s is not Site.SCORES)
    found = []
    for seed in (5, 6):
        tokens, lengths = prompts(CONFIG, seed=seed)
        run = prefill(
            _model(), tokens, lengths, config=CONFIG, suffix=LONG, sites=sites
        )
        found.append(run.activations)
    return jax.tree.map(lambda *a: np.stack(a, axis=2), *found)


def _sources(*sites: Site) -> dict[Site, jax.Array]:
    """What is held at these sites: one program for the sources of all plans."""
    return {site: jnp.asarray(_every_source()[site]) for site in sites}


def _assert_equal(plan, sources, **options):
    tokens, lengths = prompts(CONFIG)
    start = prefill(_model(), tokens, lengths, config=CONFIG, suffix=LONG)
    options = {"repeats": 10**6, **options}
    found = resume(_model(), start, sources, plan, config=CONFIG, **options).final
    expected = run_fully(_model(), tokens, lengths, sources, plan, config=CONFIG)
    atol = ROUNDING * float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    moved = jnp.abs(found - start.final[:, None, None]).max(axis=(0, 1, 3))
    assert (moved > 10 * atol).any()
    return found


# Sites that other plans patch too.
AGAIN = ("queries", "keys", "the pattern of an earlier token", "blocks of some layers")


@pytest.mark.few
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.exhaustive] * (name in AGAIN))
        for name in PLANS
    ],
)
def test_a_plan_resumed_equals_full_passes(name: str):
    _assert_equal(PLANS[name], _sources(PLANS[name].site))


@pytest.mark.slow
def test_sets_of_nodes_resumed_equal_full_passes():
    nodes = [Node(2), Node(0, 3), Node(1, 5), Node(1)]
    for plan in (
        cumulative(nodes, CONFIG),
        leave_one_out(nodes, CONFIG),
        pairs(nodes, CONFIG),
    ):
        _assert_equal(plan, random_sources(CONFIG))


LAYERS = np.array([0, 1, 1, 2])
DIRECTIONS = np.random.default_rng(3).normal(size=(1, 4, 1, CONFIG.width))
FROM_END = [[-1], [-2], [-3], [-1]]
OF_NO_SOURCE = {
    "added directions": add(Site.RESID_MID, DIRECTIONS, positions=FROM_END, weight=2.0),
    "scaled neurons": scale(
        Site.MLP_POST,
        3.0,
        positions=[[-1, -2]],
        neurons=[[0, 1], [1, 2], [3, 4], [5, 0]],
    ),
    "a projection": project_out(Site.Q, np.eye(6)[:2], positions=FROM_END, heads=[1]),
    "zeros of every head": zero_ablate(Site.Z, positions=FROM_END),
}


@pytest.mark.few
@pytest.mark.parametrize("name", OF_NO_SOURCE)
def test_rows_of_any_edit_resumed_equal_full_passes(name: str):
    plan = EditRows(edit=OF_NO_SOURCE[name], layers=LAYERS, labels={"layer": LAYERS})
    nothing = {Site.MLP_OUT: jnp.zeros((3, len(LENGTHS), 1, LONG, CONFIG.width))}
    _assert_equal(plan, nothing)


def test_an_edit_that_a_plan_cannot_have_is_refused():
    with pytest.raises(ValueError, match="leave out its layers"):
        EditRows(edit=zero_ablate(Site.Z, layers=[0], positions=[-1]), layers=LAYERS)
    with pytest.raises(ValueError, match="count from the end"):
        EditRows(edit=zero_ablate(Site.Z, positions=[1]), layers=LAYERS)
    with pytest.raises(ValueError, match=r"4 layers, .* for \[1, 3\] rows"):
        edit = zero_ablate(Site.Z, positions=[[-1], [-2], [-3]])
        EditRows(edit=edit, layers=LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("site", [Site.V, Site.ROT_K])
def test_keys_and_values_as_some_heads_read_them_equal_full_passes(site: Site):
    every = every_position(site, CONFIG, tokens=2)
    rows = np.arange(len(every.layers))
    readers = np.zeros((len(rows), CONFIG.kv_heads, CONFIG.group), bool)
    readers[rows, rows % CONFIG.kv_heads, rows % CONFIG.group] = True
    plan = dataclasses.replace(every, readers=readers)
    found = _assert_equal(plan, _sources(site))
    assert (found != _assert_equal(every, _sources(site))).any()


def _masks(units: dict[Site, int], rows: int = 4) -> dict[Site, np.ndarray]:
    """About a third of the units of several sites, in every row other ones."""
    generator = np.random.default_rng(2)
    shape = (rows, CONFIG.layers)
    return {s: generator.random((*shape, n)) < 0.3 for s, n in units.items()}


# One of every class of sites: whole streams, query heads, kv heads, neurons, patterns.
TOGETHER = _masks(
    {
        Site.RESID_PRE: 1,
        Site.Q: CONFIG.heads,
        Site.K: CONFIG.kv_heads,
        Site.V: CONFIG.kv_heads,
        Site.PATTERN: CONFIG.heads,
        Site.Z: CONFIG.heads,
        Site.MLP_POST: CONFIG.neurons,
        Site.MLP_OUT: 1,
    }
)


@pytest.mark.slow
def test_units_of_many_sites_and_layers_resumed_equal_full_passes():
    offsets = np.array([[-1, -1], [-2, -1], [-3, -2], [-1, -3]])
    plan = UnitSets(masks=TOGETHER, offsets=offsets)
    _assert_equal(plan, _sources(*TOGETHER))
    # As a plan of every prompt's own places, each source read where its prompt has it.
    own = np.stack([offsets, offsets - [[0, 1]], offsets])
    places = UnitSets(masks=TOGETHER, offsets=own, source_offsets=own[:, None] + 0)
    _assert_equal(places, _sources(*TOGETHER))


def test_sets_of_nodes_are_sets_of_units():
    nodes = [Node(2), Node(0, 3), Node(1, 5), Node(1)]
    sets = cumulative(nodes, CONFIG)
    heads, blocks = np.split(sets.masks, [CONFIG.heads], axis=2)
    units = UnitSets(masks={Site.Z: heads, Site.MLP_OUT: blocks})
    sources = _sources(Site.Z, Site.MLP_OUT)
    at_end = {s: a[:, :, :, -1:] for s, a in sources.items()}
    found, expected = _assert_equal(units, sources), _assert_equal(sets, at_end)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert (units.births == sets.births).all()


def _subspaces(site: Site, units: int, last: int, **options) -> Subspaces:
    """Rows: a direction, three in one head, all but three in one, everything; both."""
    vectors = np.random.default_rng(4).normal(size=(CONFIG.layers, units, 1, 3, last))
    gates = np.zeros((5, CONFIG.layers, units, 3), np.float32)
    outside = np.zeros(gates.shape[:3], np.float32)
    gates[0, 1, :, 0] = gates[1, 2, -1] = gates[3, 1] = gates[4] = 1
    outside[2, 1, :1] = outside[3, 1] = 1
    return Subspaces(
        site=site, basis=np.asarray(orthonormal(vectors)), gates=gates,
        outside=outside, **options,
    )  # fmt: skip


DIRECTIONS_OF = {
    "the stream": (Site.RESID_MID, 1, CONFIG.width, {"offsets": np.array([-1, -2])}),
    "queries": (Site.Q, CONFIG.heads, CONFIG.head_width, {}),
    "values, one basis for all": (
        Site.V,
        1,
        CONFIG.head_width,
        {"offsets": np.array([-2])},
    ),
    "neurons": (Site.MLP_POST, 1, CONFIG.neurons, {}),
}
READERS = np.arange(5 * CONFIG.heads).reshape(5, CONFIG.kv_heads, -1) % 7 < 3


@pytest.mark.few
@pytest.mark.parametrize("name", DIRECTIONS_OF)
def test_subspaces_resumed_equal_full_passes(name: str):
    site, units, last, options = DIRECTIONS_OF[name]
    _assert_equal(_subspaces(site, units, last, **options), _sources(site))


@pytest.mark.slow
@pytest.mark.parametrize("site", [Site.V, Site.ROT_K])
def test_subspaces_of_keys_and_values_as_some_heads_read_them(site: Site):
    offsets = np.array([[-1], [-2], [-3], [-4], [-2]])
    plan = _subspaces(
        site, CONFIG.kv_heads, CONFIG.head_width, readers=READERS, offsets=offsets
    )
    assert (plan.starts == 1).all() and plan.suffix == 4
    _assert_equal(plan, _sources(site))


def test_all_gates_open_is_a_patch_of_the_whole_site():
    plan = _subspaces(Site.Q, CONFIG.heads, CONFIG.head_width).take(np.array([3]))
    whole = every_layer(Site.Q, CONFIG).take(np.array([1]))
    found, expected = (_assert_equal(p, _sources(Site.Q)) for p in (plan, whole))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_sources_may_stand_elsewhere_than_what_they_patch():
    plan = every_position(Site.RESID_MID, CONFIG, tokens=2)
    elsewhere = np.stack([plan.offsets[0] - 1, plan.offsets[0] - 2])[None]
    shifted = Patches(
        site=plan.site,
        layers=plan.layers,
        offsets=plan.offsets,
        source_offsets=elsewhere,
    )
    found = _assert_equal(shifted, _sources(plan.site))
    assert (found != _assert_equal(plan, _sources(plan.site))).any()


@pytest.mark.slow
def test_few_rows_at_once_change_nothing():
    plan = PLANS["residual by layer and position"]
    whole = _assert_equal(plan, _sources(plan.site))
    pieces = _assert_equal(plan, _sources(plan.site), rows_at_once=2)
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-4)


def test_a_patch_of_all_that_is_kept_gives_the_source():
    plan = Patches(
        site=Site.RESID_PRE,
        layers=np.array([0]),
        offsets=np.arange(-LONG, 0)[None, None],
    )
    tokens, lengths = prompts(CONFIG)
    shortest = np.array([LENGTHS.index(LONG)])
    other, _ = prompts(CONFIG, seed=5)
    clean = prefill(_model(), tokens, lengths, config=CONFIG, suffix=LONG)
    source = prefill(_model(), other, lengths, config=CONFIG)
    found = resume(
        _model(), clean.take(shortest),
        {s: a[:, shortest] for s, a in _sources(Site.RESID_PRE).items()}, plan,
        config=CONFIG,
    ).final  # fmt: skip
    np.testing.assert_allclose(
        found[0, 0, 0], source.final[shortest[0]], rtol=0, atol=1e-4
    )


def test_what_a_pass_did_not_keep_cannot_be_patched():
    tokens, lengths = prompts(CONFIG)
    start = prefill(_model(), tokens, lengths, config=CONFIG, suffix=2)
    plan = PLANS["values, earlier"]
    with pytest.raises(ValueError, match="3 tokens from the end, and the pass kept 2"):
        resume(_model(), start, _sources(plan.site), plan, config=CONFIG)
    with pytest.raises(ValueError, match="the last 5 tokens of every prompt"):
        prefill(_model(), tokens, lengths, config=CONFIG, suffix=5)


def test_plans_say_what_each_row_is():
    plan = PLANS["values, earlier"]
    assert plan.labels["layer"].tolist() == [0, 0, 1, 1, 2, 2]
    assert plan.labels["head"].tolist() == [0, 1] * 3
    sets = node_sets([[Node(1, 2)], [Node(2), Node(0, 1)]], CONFIG)
    assert sets.labels["nodes"].tolist() == ["L1H2", "L0H1 L2MLP"]
    spans = PLANS["spans"]
    assert spans.labels["span"].tolist() == ["label", "option"] * 3
    assert spans.offsets.shape == (3, 6, 2)


def test_plans_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="groups of 2 of 7 neurons"):
        every_unit(Site.MLP_POST, CONFIG, group=2)
    with pytest.raises(ValueError, match="has neither heads nor neurons"):
        every_unit(Site.RESID_PRE, CONFIG)
    with pytest.raises(ValueError, match="set 0 names L9H0"):
        node_sets([[Node(9, 0)]], CONFIG)
    with pytest.raises(ValueError, match="-1 is the answer position"):
        every_unit(Site.Z, CONFIG, offsets=[0])
    with pytest.raises(ValueError, match="for scores Site.PATTERN"):
        every_unit(Site.SCORES, CONFIG)
    with pytest.raises(ValueError, match="3 labels 'layer' for 1 rows"):
        NodeSets(np.ones((1, 3, 9), bool), {"layer": np.arange(3)})


def test_sets_and_subspaces_that_cannot_be_are_refused():
    masks = TOGETHER[Site.Z]
    with pytest.raises(ValueError, match="with the same rows and layers"):
        UnitSets(masks={Site.Z: masks, Site.MLP_OUT: masks[:2]})
    with pytest.raises(ValueError, match=r"rows \[1\] of 2 patch no unit"):
        UnitSets(masks={Site.Z: np.stack([masks[0], 0 * masks[0]]) > 0})
    with pytest.raises(ValueError, match="for scores Site.PATTERN"):
        UnitSets(masks={Site.SCORES: masks})
    with pytest.raises(ValueError, match="-1 is the answer position"):
        UnitSets(masks={Site.Z: masks}, offsets=np.array([0]))
    tokens, lengths = prompts(CONFIG)
    start = prefill(_model(), tokens, lengths, config=CONFIG)
    resumed = functools.partial(resume, _model(), start, _sources(Site.Z))
    with pytest.raises(ValueError, match=r"have 3 units; the model has 8 \(head"):
        resumed(UnitSets(masks={Site.Z: masks[:, :, :3] | True}), config=CONFIG)
    with pytest.raises(ValueError, match="masks of 2 layers; the model has 3"):
        resumed(UnitSets(masks={Site.Z: masks[:, :2] | True}), config=CONFIG)
    good = _subspaces(Site.Z, CONFIG.heads, CONFIG.head_width)
    few = dataclasses.replace(
        good, basis=good.basis[:, :2], gates=good.gates[:, :, :2] + 1, outside=None
    )
    with pytest.raises(ValueError, match="has 3 layers and 8 units"):
        resumed(few, config=CONFIG)
    for match, changes in {
        "orthonormal": {"basis": 2 * good.basis},
        r"rows \[0, 1, 2, 3, 4\] of 5 have no gate": {
            "gates": 0 * good.gates,
            "outside": None,
        },
        "no scores or pattern": {"site": Site.PATTERN},
        "are kept for others to read": {"readers": READERS},
        "names a position twice": {"offsets": np.array([-1, -1])},
        r"give \[layer, unit, selected": {"gates": good.gates[:, :2]},
    }.items():
        with pytest.raises(ValueError, match=match):
            dataclasses.replace(good, **changes)
    with pytest.raises(ValueError, match="a row of its own"):
        dataclasses.replace(
            good, site=Site.V, readers=READERS, offsets=np.array([-1, -2])
        )
