"""docs/questions.md: every example in it is read, and means what the page says."""

import re
from pathlib import Path

import pytest

from mcq_jax import prompts
from mcq_jax.prompts import pairs as pair_files

PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_questions_of_the_page_are_read(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(examples("jsonl")[0])
    found = prompts.load_questions(path)
    assert [q.options[q.gold] for q in found] == ["Jupiter", "yellow", "a cod"]
    assert (found[1].subject, found[2].id) == ("plants", "fish-1")


def test_the_row_of_the_page_is_read(tmp_path):
    path = tmp_path / "plants_test.csv"
    path.write_text(examples("csv")[0])
    (question,) = prompts.load_questions(path)
    assert question.options == ("blue", "yellow", "red", "green, mostly")
    assert (question.gold, question.subject) == (1, "plants")


def test_the_pair_of_the_page_is_read_and_its_span_is_the_giver(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(examples("jsonl")[1])
    (pair,) = prompts.read_pairs(path)
    texts = (pair.clean, pair.clean_spans[0]), (pair.source, pair.source_spans[0])
    assert [text[s.start : s.end] for text, s in texts] == ["John", "Mary"]


@pytest.mark.parametrize("field", pair_files._FIELDS)
def test_every_field_of_a_pair_has_its_place_on_the_page(field):
    assert re.search(rf"^\|.*`{field}`.*\|", PAGE, re.MULTILINE)


def test_the_snippet_of_the_page_runs():
    names: dict = {}
    exec(examples("python")[0], names)
    assert names["rendered"].labels == tuple("CADB")


def test_the_corpus_of_the_page_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(examples("python")[1], {})
    assert len(prompts.load_questions("asked.jsonl")) == 60
