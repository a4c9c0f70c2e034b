"""Bad input is refused at once, in words."""

import json
import pathlib

import pytest

from mcq_jax import cli
from tests.cli.cards import CONFIG, Card

QUESTION = dict(question="Which?", options=["one", "two", "three"], answer=1)


def _jsonl(folder: pathlib.Path, *records: dict) -> str:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records))
    return str(path)


def test_a_missing_config_is_named(refusal):
    said = refusal("run", "nowhere/card.py")
    assert "no config at nowhere/card.py" in said and "configs/demo.py" in said


def test_a_run_without_a_config_is_told_how(refusal):
    assert "run needs a config first" in refusal("run")
    assert "run needs a config first" in refusal("run", "--model", "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "has no function config() that returns a RunConfig"),
        ("def config(): return 3", "has no function config() that returns a RunConfig"),
        ("def config(:", "SyntaxError"),
        ("def config(): return 1 / 0", "ZeroDivisionError: division by zero"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    ],
)
def test_a_config_that_is_none_is_refused(refusal, tmp_path, text: str, said: str):
    path = tmp_path / "card.py"
    path.write_text(text)
    found = refusal("run", str(path))
    assert said in found and str(path) in found


def test_a_missing_model_is_named(refusal, card: Card):
    said = refusal("run", card(model="nowhere/model.gguf", questions="word_copy"))
    assert "nowhere/model.gguf" in said


def test_missing_questions_are_named_before_weights_are_read(
    refusal, no_weights, card: Card
):
    said = refusal("run", card(model="x.gguf", questions="nowhere/q.jsonl"))
    assert "No questions at nowhere/q.jsonl" in said and "word_copy" in said
    pairs = card(model="x.gguf", questions="nowhere/p.jsonl", are_pairs=True)
    assert "No file at nowhere/p.jsonl" in refusal("run", pairs)


def test_an_empty_question_file_is_refused(refusal, no_weights, card: Card, tmp_path):
    said = refusal("run", card(model="x.gguf", questions=_jsonl(tmp_path)))
    assert "No questions in" in said and "questions.jsonl" in said


def test_more_labels_than_options_are_refused(refusal, no_weights, card, tmp_path):
    path = _jsonl(tmp_path, QUESTION)
    config = card(model="x.gguf", questions=path, labels=("A", "B", "C", "D"))
    said = refusal("run", config)
    assert "4 answer labels for 3 options" in said


def test_questions_with_different_numbers_of_options_are_refused(
    refusal, no_weights, card, tmp_path
):
    fewer = dict(question="Who?", options=["you", "me"], answer=0)
    path = _jsonl(tmp_path, QUESTION, fewer)
    said = refusal("run", card(model="x.gguf", questions=path))
    assert "[2, 3] options" in said


def test_an_unknown_template_is_refused(refusal, no_weights, card: Card):
    config = card(model="x.gguf", questions="word_copy")
    said = refusal("run", config, "--template", "nope")
    assert "'nope'" in said and "plain_paren" in said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--labels", "A", "B", "C", "Which is"], "'Which is'"),
        (["--labels", "A", "B", "C"], "3 answer labels"),
        (["--longest-prompt", "5"], "longer than 5 tokens"),
        (["--dtype", "bfloat16"], "float32"),
        (["--questions", "word_copy"], "is not among this tokenizer's"),
    ],
)
def test_impossible_overrides_are_refused(refusal, card, flags: list[str], said: str):
    assert said in refusal("run", card(), *flags)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--no-such-thing", "1"], "no-such-thing"),
        (["--question-count", "many"], "question-count"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(
    card: Card, capsys, flags: list[str], said: str
):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", card(), *flags])
    assert stopped.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--planted-choices", "13"], "2 to 10"),
        (["--planted-variant", "both"], "ordinal, letter, mixed"),
        (["--batch", "0"], "batch is 0"),
        (["--question-count", "0"], "question_count is 0"),
        (["--effect-questions", "3"], "at least 4"),
        (["--choosing-fraction", "1.5"], "choosing_fraction"),
        (["--seed", "-1"], "-1 as seed of RunConfig; give at least 0"),
        (["--shots", "-1"], "shots is -1"),
        (["--shots", "2"], "planted questions, which have none"),
        (["--subjects", "law"], "subjects law of planted questions"),
        (["--coordinator", "here:1", "--processes", "2"], "give all three"),
    ],
)
def test_senseless_overrides_are_refused(refusal, card, flags: list[str], said: str):
    assert said in refusal("run", card(), *flags)


LISTING = """
from mcq_jax.experiments import *

def config():
    usual = Behaviour(), NodeEffects(), HeadClasses()
    return RunConfig(
        title="Test", model="x.gguf", questions="word_copy", out="run",
        experiments=(*usual, {more}),
    )
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("Ladder(sets=('main', 'nope'))", "ladder names the prompts 'nope'"),
        ("Routes(sets=('nope',))", "routes names the prompts 'nope'"),
        ("Transfer(tasks=('nope',))", "transfer names the prompts 'nope'"),
        (
            "ContentRoute(options_first='nope')",
            "content_route names the prompts 'nope'",
        ),
        ("Elsewhere(texts='nope.jsonl')", "No file at nope.jsonl"),
        (
            "MutationGrid(contrasts=(Contrast(name='x', prompts=('nope',)),))",
            "the contrast 'x' names the prompts nope",
        ),
    ],
)
def test_what_experiments_name_is_looked_for_before_weights_are_read(
    refusal, no_weights, tmp_path, more: str, said: str
):
    path = tmp_path / "card.py"
    path.write_text(LISTING.format(more=more))
    assert said in refusal("run", str(path))


def test_a_title_that_names_no_folder_is_refused(refusal, tmp_path):
    path = tmp_path / "card.py"
    path.write_text(CONFIG.format(model="planted", questions="planted", more=""))
    assert "names no folder" in refusal("run", str(path), "--title", "题")


@pytest.mark.parametrize(
    "flags",
    [
        ["--only", "behaviour", "--only", "node-effects"],
        ["--only=behaviour", "--batch", "2", "--only", "node-effects"],
    ],
)
def test_an_option_that_is_given_twice_is_refused(refusal, card, flags: list[str]):
    said = refusal("run", card(), *flags)
    assert "--only is given 2 times" in said and "--only a b" in said


def test_a_run_is_not_compared_with_itself(refusal):
    said = refusal("compare", "runs/a", "runs/b", "runs/a")
    assert "runs/a is given twice" in said


def test_two_ways_to_write_an_option_are_one(refusal, card):
    said = refusal("run", card(), "--question_count", "8", "--question-count", "9")
    assert "--question-count is given 2 times" in said
    said = refusal("compare", "a", "b", "--out", "c", "--out", "d")
    assert "--out is given 2 times" in said


def test_a_senseless_card_is_refused(refusal, card: Card):
    said = refusal("run", card(effect_questions=3))
    assert "card.py: ValueError: effect_questions is 3" in said
