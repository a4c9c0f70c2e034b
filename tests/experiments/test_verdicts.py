"""Where there is nothing to explain, or too little to go by, nothing is claimed."""

import dataclasses
import pathlib

import pytest

from mcq_jax.experiments import pipeline, run
from mcq_jax.planted import asking
from mcq_jax.results import RunFolder, RunResults, verdict
from tests import tiny
from tests.experiments.runs import planted_config, quiet, random_checkpoint
from tests.report import examples

RANDOM = dataclasses.replace(
    tiny.CASES["every head its own keys, full rotation"],
    vocabulary=len(asking.VOCABULARY),
    context=64,
)


def _assert_nothing_is_claimed(run: RunResults, folder: RunFolder):
    assert verdict(run).has_circuit is False
    assert set(run.records) == {"behaviour"}
    assert run.nodes == run.sets == run.heads == () and run.selection is None
    again = RunResults.read(folder.storage)
    assert again.records["behaviour"].values == run.records["behaviour"].values


def test_behind_a_closed_gate_there_is_no_circuit_to_find(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoint = random_checkpoint(RANDOM)
    monkeypatch.setattr(pipeline, "open_model", lambda config: (checkpoint, None))
    config = planted_config(tmp_path, question_count=12, effect_questions=12)
    found, folder = run(config, quiet())
    assert found.gate is not None and not found.gate.open
    assert verdict(found).sentence == f"No circuit to find: {found.gate.reason}"
    _assert_nothing_is_claimed(found, folder)
    assert set(folder.tables()) == {"behaviour"}


def test_too_few_questions_are_not_explained(tmp_path: pathlib.Path):
    config = planted_config(tmp_path, question_count=3, effect_questions=4, seed=0)
    found, folder = run(config, quiet())
    assert found.gate is not None and found.gate.open
    said = verdict(found).sentence
    assert said.startswith("An effect, but too few questions")
    assert "3 of 3 pass the filter (accuracy 100%)" in said
    assert said.endswith("Ask more questions, or easier ones.")
    assert found.behaviour is not None
    none = dataclasses.replace(found.behaviour, kept_questions=0)
    said = verdict(examples.changed(found, behaviour=none)).sentence
    assert "0 of 3 pass" in said and said.endswith("Ask what the model can answer.")
    _assert_nothing_is_claimed(found, folder)
