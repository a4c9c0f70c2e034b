"""Pairs of clean and source prompts go through the same pipeline as questions."""

import json
import pathlib

import pytest

from mcq_jax import planted
from mcq_jax.experiments import run
from mcq_jax.prompts import render_rotations
from mcq_jax.report import write_report
from mcq_jax.results import verdict
from tests.experiments.runs import planted_config, quiet

PAIRS = 8


def _write_pairs(path: pathlib.Path, *, golds: int) -> pathlib.Path:
    """Pairs of two rotations of a question; the clean ones have so many golds."""
    lines = []
    questions = planted.generate_questions(PAIRS, choices=4, seed=1)
    for number, question in enumerate(questions):
        rendered = render_rotations(question, planted.TEMPLATE)
        by_gold = sorted(rendered, key=lambda prompt: prompt.gold)
        gold = number % golds
        clean, source = by_gold[gold], by_gold[(gold + 1 + number % 3) % 4]
        lines.append(
            dict(
                clean=clean.text,
                source=source.text,
                answers=[f" {label}" for label in clean.labels],
                gold=clean.gold,
                source_gold=source.gold,
            )
        )
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("golds", [4, 1], ids=["all golds", "one gold"])
def test_pairs_are_explained_without_head_classes(tmp_path: pathlib.Path, golds: int):
    file = _write_pairs(tmp_path / "pairs.jsonl", golds=golds)
    config = planted_config(
        tmp_path / "run",
        questions=str(file),
        question_count=None,
        are_pairs=True,
        effect_questions=PAIRS,
    )
    found, folder = run(config, quiet())
    assert found.gate is not None and found.gate.open, found.gate
    assert found.effects is not None
    assert found.about.questions == found.effects.questions == PAIRS
    (every,) = (row for row in found.sets if row.kind == "all")
    (chosen,) = (row for row in found.sets if row.kind == "selected")
    assert every.sufficiency is not None and chosen.sufficiency is not None
    assert every.sufficiency.mean == pytest.approx(1, abs=1e-5)
    assert chosen.sufficiency.mean > 0.75
    assert set(found.nodes[0].direct) == {"pair"}
    # Labels have no places in a pair, so nothing is known of where heads look.
    assert set(found.records) == {
        "behaviour", "node_effects", "joint_tests", "earlier_positions"
    }  # fmt: skip
    assert {node.head_class for node in found.nodes} == {"", "mlp"}
    said = verdict(found).sentence
    assert "letter" not in said
    page = write_report(found, pathlib.Path(folder.path)).read_text(encoding="utf-8")
    assert said.split(",")[0] in page
