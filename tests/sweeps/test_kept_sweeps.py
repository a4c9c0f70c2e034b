"""Sweeps kept in a folder: a table has the numbers of what made it, and no others'."""

import dataclasses

import numpy as np
import pytest

from mcq_jax.interventions import Site
from mcq_jax.results import RunFolder
from mcq_jax.sweeps import (
    Ablation,
    Direction,
    Sources,
    every_node,
    every_unit,
    sweep,
    sweeping,
)
from tests import tiny
from tests.sweeps.small import (
    CONFIG,
    PLANS,
    PROMPTS,
    SOURCES,
    assert_same,
    small_parameters,
    small_sweep,
)


def test_a_stopped_sweep_does_only_what_is_missing(tmp_path, monkeypatch):
    plan = every_node(CONFIG)
    whole = small_sweep(plan, prompts_at_once=1)
    folder = RunFolder.open(tmp_path, {"identity": {}})

    class StoppedError(Exception):
        pass

    def stop_at_third(chunks):
        for index, chunk in enumerate(chunks):
            if index == 2:
                raise StoppedError
            yield chunk

    with pytest.raises(StoppedError):
        small_sweep(plan, prompts_at_once=1, folder=folder, track=stop_at_third)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("part-*.parquet")}
    assert sorted(before) == ["part-00000.parquet", "part-00001.parquet"]
    assert_same(small_sweep(plan, prompts_at_once=1, folder=folder), whole)
    after = {p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("part-*.parquet")}
    assert len(after) == 4 and before.items() <= after.items()


def test_a_finished_sweep_is_read_and_runs_no_prompt(tmp_path, monkeypatch):
    folder = RunFolder.open(tmp_path, {"identity": {}})
    whole = small_sweep(PLANS["residual"], prompts_at_once=3, folder=folder)

    def run(*_, **__):
        raise AssertionError("a prompt was run")

    monkeypatch.setattr(sweeping, "fill_bank", run)
    again = small_sweep(PLANS["residual"], prompts_at_once=3, folder=folder)
    assert list(again.values) == list(whole.values)
    for column, value in whole.columns().items():
        np.testing.assert_array_equal(again.columns()[column], value, err_msg=column)


def test_rows_under_other_labels_are_another_table_of_the_same_numbers(
    tmp_path, monkeypatch
):
    folder = RunFolder.open(tmp_path, {"identity": {}})
    plan = every_unit(Site.Z, CONFIG)
    whole = small_sweep(plan, prompts_at_once=3, folder=folder)

    def run(*_, **__):
        raise AssertionError("a prompt was run")

    monkeypatch.setattr(sweeping, "fill_bank", run)
    names = np.array([f"row {row}" for row in range(len(plan.layers))])
    renamed = dataclasses.replace(plan, labels={"name": names})
    found = small_sweep(renamed, prompts_at_once=3, folder=folder)
    for name, value in whole.values.items():
        np.testing.assert_array_equal(found.values[name], value, err_msg=name)
    np.testing.assert_array_equal(found.moved, whole.moved)
    assert list(found.rows) == ["name"] and list(whole.rows) == ["layer", "head"]
    keys = folder.tables()["sweep"]
    assert {whole.key, found.key} == set(keys)
    kept = [set(folder.read("sweep", key)) & {"name", "layer"} for key in keys]
    assert sorted(kept, key=list) == [{"layer"}, {"name"}]
    # Other rows under the same labels are other numbers.
    with pytest.raises(AssertionError, match="a prompt was run"):
        other = dataclasses.replace(plan, layers=plan.layers[::-1].copy())
        small_sweep(other, prompts_at_once=3, folder=folder)


def _first_net(outcome):
    return outcome.patched.logits[0]


OTHER_SOURCES = Sources(kinds=("other", "any"), index=SOURCES.index[:, ::-1])
CHANGES = {
    "site": (dict(plan=every_unit(Site.Q, CONFIG)), {}),
    "direction": ({}, dict(direction=Direction.DENOISE)),
    "sources": (dict(sources=OTHER_SOURCES), {}),
    "ablation": (dict(sources=Ablation.MEAN), {}),
    "metric of the same name": ({}, dict(metrics={"net": _first_net})),
    "chunks": ({}, dict(prompts_at_once=2)),
}


@pytest.mark.few
@pytest.mark.parametrize("name", CHANGES)
def test_another_sweep_in_the_same_folder_has_its_own_numbers(tmp_path, name: str):
    asked, options = CHANGES[name]
    asked = {"plan": every_unit(Site.Z, CONFIG), **asked}
    folder = RunFolder.open(tmp_path, {"identity": {}})
    before = small_sweep(every_unit(Site.Z, CONFIG), folder=folder)
    found = small_sweep(**asked, **options, folder=folder)
    assert_same(found, small_sweep(**asked, **options))
    assert_same(small_sweep(every_unit(Site.Z, CONFIG), folder=folder), before)


def test_other_weights_in_the_same_folder_have_their_own_numbers(tmp_path):
    folder = RunFolder.open(tmp_path, {"identity": {}})
    plan, first = every_node(CONFIG), small_parameters()
    other = tiny.random_parameters(CONFIG, seed=5)
    found = [
        sweep(weights, PROMPTS, plan, SOURCES, config=CONFIG, folder=folder).values
        for weights in (first, other)
    ]
    assert not np.allclose(found[0]["net"], found[1]["net"])


def test_a_metric_that_is_made_anew_is_refused_where_tables_are_kept(tmp_path):
    folder = RunFolder.open(tmp_path, {"identity": {}})
    with pytest.raises(ValueError, match="has to say what made it"):
        small_sweep(
            every_node(CONFIG), metrics={"net": lambda o: o.gold}, folder=folder
        )
