"""Where there is nothing to explain, or too little to go by, nothing is claimed."""

import dataclasses
import pathlib

import pytest

from mcq_jax.experiments import pipeline, run
from mcq_jax.planted import asking
from mcq_jax.results import Findings
from tests import tiny
from tests.experiments.runs import planted_config, quiet, random_checkpoint

RANDOM = dataclasses.replace(
    tiny.CASES["every head its own keys, full rotation"],
    vocabulary=len(asking.VOCABULARY),
    context=64,
)


def _assert_nothing_is_claimed(findings: Findings):
    assert not findings.has_circuit
    assert findings.nodes == findings.joint == findings.heads == ()
    assert findings.selection is None and findings.planted is None
    assert Findings.from_json(findings.to_json()) == findings


def test_behind_a_closed_gate_there_is_no_circuit_to_find(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoint = random_checkpoint(RANDOM)
    monkeypatch.setattr(pipeline, "open_model", lambda config: (checkpoint, None))
    config = planted_config(tmp_path, question_count=12, effect_questions=12)
    findings, folder = run(config, quiet())
    assert not findings.gate.open
    assert findings.verdict.startswith("No circuit to find: ")
    _assert_nothing_is_claimed(findings)
    assert not folder.storage.names("tables/effects")


def test_too_few_questions_are_not_explained(tmp_path: pathlib.Path):
    config = planted_config(tmp_path, question_count=3, effect_questions=4, seed=0)
    findings, _ = run(config, quiet())
    assert findings.gate.open
    assert findings.verdict.startswith("An effect, but too few questions")
    assert "3 of 3 pass the filter" in findings.verdict
    _assert_nothing_is_claimed(findings)
