"""Runs on one page, paired by question, also under other labels: known differences."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from mcq_jax import cli
from mcq_jax.experiments import Behaviour, run
from mcq_jax.report import comparison
from mcq_jax.results.comparison import (
    Answered,
    accuracy_difference,
    consistent_difference,
    read_answered,
)
from tests.experiments.runs import planted_config, quiet


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[str, str, str]:
    """The same questions twice, the second time reversed; and other questions."""
    base = tmp_path_factory.mktemp("runs")
    changes: tuple[dict[str, Any], ...] = (
        dict(),
        dict(mutation="reversed"),
        dict(seed=7),
    )
    for number, change in enumerate(changes):
        config = planted_config(
            base / str(number), experiments=(Behaviour(),), question_count=6, **change
        )
        run(dataclasses.replace(config, title=f"Run <{number}>"), quiet())
    first, second, third = (str(base / str(number)) for number in range(3))
    return first, second, third


def _wrong(run: Answered, prompts: list[int]) -> Answered:
    """As if some prompts had been answered wrongly."""
    logits = run.answer_logits.copy()
    logits[prompts, run.gold[prompts]] = -1e3
    return dataclasses.replace(run, answer_logits=logits)


def test_differences_are_those_of_shared_questions(folders):
    first, second, other = map(read_answered, folders)
    assert set(first.question) == set(second.question)  # whatever the labels
    same = accuracy_difference(second, first)
    assert same is not None and (same.mean, same.questions) == (0, 6)
    # One prompt of one question, and two of another, of 24.
    doctored = _wrong(second, [0, 4, 5])
    found, whole = (
        measure(doctored, first)
        for measure in (accuracy_difference, consistent_difference)
    )
    assert found is not None and whole is not None
    assert found.mean == pytest.approx(-3 / 24)
    assert whole.mean == pytest.approx(-2 / 6)
    assert found.low < found.mean < found.high
    # Questions that were asked in one run alone do not count.
    few = dataclasses.replace(
        other, question=np.array([f"other {name}" for name in other.question])
    )
    assert accuracy_difference(few, first) is None


def test_the_page_says_what_each_run_did(folders, tmp_path: pathlib.Path, capsys):
    first, second, _ = folders
    file = tmp_path / "new" / "page.html"
    assert cli.main(["compare", first, second, "--out", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    text = file.read_text(encoding="utf-8")
    assert "Run &lt;1&gt;" in text and "<1>" not in text
    assert "D C B A" in text and "<svg" in text and "<script" not in text
    runs = [read_answered(path) for path in (first, second)]
    asked, answers, differences = comparison.tables(runs)
    assert [cell.text for cell in asked.table.rows[1].cells][3:] == [
        "D C B A",
        "0",
        "6",
    ]
    assert [row.name for row in answers.table.rows] == ["Run <0>", "Run <1>"]
    [row] = differences.table.rows
    assert row.cells[0].text == "6" and row.cells[1].text == "0.00"


def test_runs_of_one_title_are_told_apart_by_their_folders(folders):
    runs = [read_answered(path) for path in folders]
    about = dataclasses.replace(runs[1].run.about, title="Run <0>")
    runs[1] = dataclasses.replace(
        runs[1], run=dataclasses.replace(runs[1].run, about=about)
    )
    assert _names(runs) == ["0", "1", "2"]
    elsewhere = [dataclasses.replace(one, path=f"{one.path}/run") for one in runs]
    assert _names(elsewhere) == [one.path for one in elsewhere]
    assert comparison.tables(elsewhere)[-1].title == f"Less {folders[0]}/run"


def _names(runs: list[Answered]) -> list[str]:
    asked, answers, differences = comparison.tables(runs)
    names = [row.name for row in asked.table.rows]
    assert names == [row.name for row in answers.table.rows]
    assert names[1:] == [row.name for row in differences.table.rows]
    return names


def test_too_few_runs_and_folders_without_answers_are_refused(
    folders, tmp_path: pathlib.Path, capsys
):
    for arguments, said in (
        ([folders[0]], "two run folders or more"),
        ([*folders, "--out"], "--out needs one file"),
        ([folders[0], str(tmp_path)], "no run has begun there"),
    ):
        assert cli.main(["compare", *arguments]) == 1
        assert said in capsys.readouterr().err
