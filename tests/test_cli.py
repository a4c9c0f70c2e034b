"""The command line: bad input is refused at once, in words; good input runs."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from mcq_jax import cli, experiments
from mcq_jax.experiments import RunConfig, behaviour, opening
from mcq_jax.results import Record, RunResults, findings_file, verdict
from tests.report.examples import closed_gate, open_gate

CONFIG = """
from mcq_jax.experiments import RunConfig

def config():
    return RunConfig(title="Test", model={model!r}, questions={questions!r}, {more})
"""
QUESTION = dict(question="Which?", options=["one", "two", "three"], answer=1)

Card = Callable[..., str]


@pytest.fixture
def card(tmp_path: pathlib.Path) -> Card:
    """Writes a run card, by default of a planted model, and returns its path."""

    def write(*, model="planted", questions="planted", **more) -> str:
        more |= dict(out=str(tmp_path / "run"))
        given = ", ".join(f"{name}={value!r}" for name, value in more.items())
        path = tmp_path / "card.py"
        path.write_text(CONFIG.format(model=model, questions=questions, more=given))
        return str(path)

    return write


@pytest.fixture
def refusal(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., str]:
    """Runs a command that must fail before any work, and returns what it says."""

    def works(*args, **kwargs):
        raise AssertionError("a prompt was run")

    monkeypatch.setattr(cli, "_enable_compilation_cache", lambda: None)
    monkeypatch.setattr(behaviour, "_ask", works)

    def refuse(*arguments: str) -> str:
        assert cli.main(list(arguments)) == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return refuse


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch):
    def load(*args, **kwargs):
        raise AssertionError("weights were read")

    monkeypatch.setattr(opening, "load", load)


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


def test_overrides_change_the_config(card: Card, monkeypatch: pytest.MonkeyPatch):
    seen: list[RunConfig] = []

    def stop(config, only, again):
        assert (only, again) == (("head_classes",), ("joint_tests",))
        seen.append(config)
        raise ValueError("seen enough")

    monkeypatch.setattr(cli, "_enable_compilation_cache", lambda: None)
    monkeypatch.setattr(experiments, "run", stop)
    flags = ["--question-count", "None", "--labels", "W", "X", "--no-filters"]
    flags += ["--head-classes.thresholds.label-mass", "0.5", "--model", "here"]
    flags += ["--joint-tests.random-sets", "20"]
    flags += ["--only", "head_classes", "--again", "joint_tests"]
    assert cli.main(["run", card(question_count=7), *flags]) == 1
    (config,) = seen
    assert (config.question_count, config.labels) == (None, ("W", "X"))
    assert (config.filters, config.model, config.title) == (False, "here", "Test")
    by_name = {experiment.name: experiment for experiment in config.experiments}
    assert by_name["head_classes"].thresholds.label_mass == 0.5
    assert by_name["joint_tests"].random_sets == 20


def test_help_on_a_run_lists_every_override(card: Card, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", card(), "--help"])
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--question-count" in text and "--head-classes.thresholds.label-mass" in text
    assert "--earlier-positions" not in text  # what the card leaves out has none
    # A comment is the help of one option, not of its neighbours too.
    assert text.count("Questions with a longer prompt") == 1


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_is_printed(arguments: list[str], capsys):
    assert cli.main(arguments) == 0
    assert "mcq-jax run CONFIG" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "own", "others"),
    [
        ("run", "--joint-tests.random-sets", "mcq-jax plan"),
        ("plan", "--topology", "mcq-jax run"),
        ("train", "--only MEMBER", "mcq-jax run"),
        ("report", "--card CARD", "mcq-jax run"),
    ],
)
def test_each_command_has_its_own_help(command: str, own: str, others: str, capsys):
    try:
        assert cli.main([command, "--help"]) == 0
    except SystemExit as stopped:  # what tyro does
        assert stopped.code == 0
    text = capsys.readouterr().out
    assert f"mcq-jax {command}" in text and own in text and others not in text


def test_options_that_plan_lists_have_a_text_each(capsys):
    with pytest.raises(SystemExit):
        cli.main(["plan", "chinchilla-70b", "--help"])
    text = capsys.readouterr().out
    assert text.count("Sources for each of them") == 1
    assert text.count("Prompts that are patched") == 1


def test_a_comment_on_all_options_is_not_the_help_of_the_first(card: Card, capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", card(), "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--title STR What stands at the top of the report" in text


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_a_command_without_a_word(unbuffered: str):
    """As `mcq-jax … | head` closes it: 128 + SIGPIPE is what shells expect."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mcq_jax.cli", "--help"],
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert (
        capsys.readouterr().out == f"mcq-jax {importlib.metadata.version('mcq_jax')}\n"
    )


def test_an_unknown_command_is_a_usage_error(capsys):
    assert cli.main(["fly"]) == 2
    assert (
        "no command 'fly'; there are run, plan, train, report, compare"
        in capsys.readouterr().out
    )


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from mcq_jax.cli import main; main(['--help']); "
        "print(sorted({'jax', 'numpy', 'tyro', 'haiku'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(__file__).parent.parent,
    )
    assert "mcq-jax run CONFIG" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs a model first"),
        (["no-such-model"], "no shape 'no-such-model'; give a folder"),
        (["chinchilla-7b", "--topology", "v5e:4x4"], "install mcq-jax[tpu]"),
    ],
)
def test_plans_that_cannot_be_made_are_refused(
    refusal, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    monkeypatch.setitem(sys.modules, "libtpu", None)  # as if it were not installed
    assert said in refusal("plan", *arguments)


def _write_findings(run: RunResults, folder: pathlib.Path) -> None:
    (folder / "findings").mkdir()
    records = {"run": Record(values=run.about), **run.records}
    for name, record in records.items():
        (folder / findings_file(name)).write_text(record.to_json(name))


def test_a_report_is_written_again_from_the_findings(tmp_path: pathlib.Path, capsys):
    _write_findings(closed_gate(), tmp_path)
    assert cli.main(["report", str(tmp_path)]) == 0
    page = pathlib.Path(capsys.readouterr().out.strip())
    assert page.parent == tmp_path
    said = verdict(closed_gate()).sentence.split("(")[0]
    assert said in page.read_text(encoding="utf-8")


def test_where_no_run_began_there_is_no_report(refusal, tmp_path: pathlib.Path):
    said = refusal("report", str(tmp_path))
    assert "no run has begun there" in said and "mcq-jax run" in said
    assert "report needs one run folder" in refusal("report")
    assert "--card needs" in refusal("report", str(tmp_path), "--card")


def test_out_of_memory_is_told_what_to_do(
    card: Card, capsys, monkeypatch: pytest.MonkeyPatch
):
    def run_out(config, **_):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(cli, "_enable_compilation_cache", lambda: None)
    monkeypatch.setattr(experiments, "run", run_out)
    assert cli.main(["run", card()]) == 1
    said = capsys.readouterr().err
    assert "out of memory" in said and "--batch" in said


def test_the_summary_shows_the_verdict_and_the_strongest_nodes(capsys):
    run = open_gate()
    cli.print_summary(run)
    text = " ".join(capsys.readouterr().out.split())
    assert verdict(run).sentence.split(";")[0] in text
    strongest = max(run.nodes, key=lambda node: node.direct["rotation"].mean)
    assert strongest.name in text
