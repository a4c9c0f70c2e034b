"""Texts scored without options: by hand, and in a run of a model that knows none."""

import pathlib

import numpy as np
import pytest

from mcq_jax import report
from mcq_jax.experiments import Behaviour, Cloze, cloze, run
from mcq_jax.prompts import ClozePrompt
from mcq_jax.results import ClozeFindings
from mcq_jax.results.cloze_findings import AGAINST, CONTROL, MEAN, SUM
from tests.experiments.runs import planted_config, quiet


def _prompt(gold: int, name: str) -> ClozePrompt:
    ids = tuple(np.arange(3, dtype=np.int32) for _ in range(2))
    return ClozePrompt(
        ids=ids, starts=np.array([1, 1], np.int32), gold=gold, content_id=name, text=""
    )


def test_every_way_to_choose_is_read_by_hand():
    given = np.array([[-1.0, -3.0], [-2.0, -3.0], [-4.0, -2.0]])
    alone = np.array([[-1.0, -1.0], [-1.0, -4.0], [-1.0, -2.0]])
    tokens = np.array([[1, 1], [1, 3], [2, 1]])
    prompts = tuple(
        _prompt(gold, name) for gold, name in ((0, "a"), (1, "b"), (1, "c"))
    )
    letters = {
        "a": np.array([True, False]), "b": np.array([True, True]),
        "c": np.array([False, False]),
    }  # fmt: skip
    found = cloze.describe(given, alone, tokens, prompts, letters, seed=0)
    ways = {one.by: one for one in found.scores}
    # sum: a, c; by token -1|-3, -2|-1, -2|-2: a, b (a tie is not right); less alone
    # 0|-2, -1|1, -3|0: all; alone: no tie is right, -1|-4, -1|-2: none.
    wanted = {SUM: "ac", MEAN: "ab", AGAINST: "abc", CONTROL: ""}
    for by, right in wanted.items():
        one = ways[by]
        assert one.accuracy.mean == pytest.approx(len(right) / 3)
        assert one.letter_less_this.mean == pytest.approx(0.5 - len(right) / 3)
        always = {"b"}
        assert one.both == len(always & set(right))
        assert one.text_only == len(set(right) - always)
        assert one.letter_only == len(always - set(right))
        assert one.both + one.text_only + one.letter_only + one.neither == 3
    assert found.by_letter.mean == pytest.approx(0.5) and found.chance == 0.5


def test_a_run_scores_each_question_once(tmp_path: pathlib.Path):
    config = planted_config(tmp_path, experiments=(Behaviour(), Cloze(batch=3)))
    found, folder = run(config, quiet())
    values = found.get(ClozeFindings)
    assert values is not None and values.questions == config.question_count
    assert values.by_letter.mean == 1 and values.chance == 0.25
    # It says letters and no words: what it finds likeliest is nobody's answer.
    assert all(one.text_only == 0 for one in values.scores)
    assert values.example.startswith("Which") and values.example.endswith("?\n:")
    page = report.write_report(found, pathlib.Path(folder.path)).read_text("utf-8")
    assert 'id="cloze"' in page and "Does it know the text?" in page
