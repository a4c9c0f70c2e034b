"""Patches that change nothing are known, and said."""

import numpy as np
import pytest

from mcq_jax.interventions import Site
from mcq_jax.passes import Patches
from mcq_jax.sweeps import Sources, every_node, every_position, every_unit, sweep
from mcq_jax.sweeps.moved import moved
from tests.sweeps.small import CONFIG, PROMPTS, SOURCES, small_parameters

INDEX = np.array([[1, 2]])


def test_a_node_moves_where_its_own_output_differs_and_only_there():
    shape = (CONFIG.layers, 3, CONFIG.kv_heads, CONFIG.group, CONFIG.head_width)
    z, mlp = np.zeros(shape), np.zeros((CONFIG.layers, 3, CONFIG.width))
    z[1, 1, 1, 2, 0] = 1  # layer 1, prompt 1, query head group + 2
    mlp[2, 2, 3] = np.nan
    plan = every_node(CONFIG)
    held = {Site.Z: z[:, :, None], Site.MLP_OUT: mlp[:, :, None]}
    found = moved(held, plan, INDEX)
    labels = [
        [str(plan.labels["node"][row]) for row in np.flatnonzero(of_source)]
        for of_source in found[0]
    ]
    assert labels == [[f"L1H{CONFIG.group + 2}"], ["L2MLP"]]


@pytest.mark.parametrize("site", [Site.Z, Site.V, Site.MLP_POST, Site.PATTERN])
def test_a_unit_moves_where_it_differs_at_the_patched_position(site: Site):
    plan = every_unit(site, CONFIG)
    sizes = {
        "position": 4, "key": 5, "kv_head": CONFIG.kv_heads, "group": CONFIG.group,
        "head_width": CONFIG.head_width, "neuron": CONFIG.neurons,
    }  # fmt: skip
    held = np.zeros((CONFIG.layers, 3, *(sizes[axis] for axis in site.axes)))
    place = [-1 if axis == "position" else 1 for axis in site.axes]
    held[(2, 1, *place)] = 1
    earlier = [-2 if axis == "position" else 0 for axis in site.axes]
    held[(0, 1, *earlier)] = 1  # which no row patches
    found = moved({site: held}, plan, INDEX)
    (row,) = np.flatnonzero(found[0, 0])
    unit = 1 if site.unit == "neuron" or site is Site.V else CONFIG.group + 1
    assert plan.layers[row] == 2 and plan.units is not None
    assert plan.units[row].tolist() == [unit]
    assert not found[0, 1].any()


def test_sources_are_read_where_the_plan_reads_them():
    plan = Patches(
        site=Site.RESID_PRE,
        layers=np.array([0]),
        offsets=np.array([[[-1]]]),
        source_offsets=np.array([[[[-2]], [[-1]]]]),
    )
    held = np.zeros((CONFIG.layers, 3, 4, CONFIG.width))
    held[0, 1:, -2] = 1
    assert moved({plan.site: held}, plan, INDEX).tolist() == [[[True], [False]]]


def test_a_head_that_writes_the_same_in_every_prompt_is_stamped():
    parameters = small_parameters()
    first, *others = parameters.layers
    weights = {**first["attention"]}
    for name in ("value", "value_bias"):
        weights[name] = weights[name].at[:, 0].set(0)
    edited = {**first, "attention": weights}
    still = parameters._replace(layers=(edited, *others))
    table = sweep(still, PROMPTS, every_node(CONFIG), SOURCES, config=CONFIG)
    assert table.moved is not None
    heads = [f"L0H{head}" for head in range(CONFIG.group)]
    constant = np.isin(table.rows["node"], heads)
    assert (table.moved == ~constant).all()
    assert (table.columns()["moved"] == table.moved.reshape(-1)).all()
    with pytest.raises(ValueError, match="hold the same wherever the plan patches"):
        itself = Sources(kinds=("a",), index=np.arange(4)[:, None])
        sweep(still, PROMPTS, every_node(CONFIG), itself, config=CONFIG)


def test_positions_that_all_prompts_share_move_nothing_and_do_nothing():
    plan = every_position(Site.RESID_PRE, CONFIG, tokens=5, layers=[0])
    asked = [
        type(p)(**{**vars(p), "ids": np.append([3], p.ids[-4:]).astype(np.int32)})
        for p in PROMPTS
    ]
    table = sweep(small_parameters(), asked, plan, SOURCES, config=CONFIG)
    same = np.asarray(table.rows["offset"]) == -5
    assert table.moved is not None
    assert not table.moved[:, :, same].any() and table.moved[:, :, ~same].any()
    assert not np.abs(table.values["net"][:, :, same]).max() > 1e-5
    assert np.abs(table.values["net"][:, :, ~same]).max() > 1e-3
