"""Good input runs, help is told, and failures say what to do."""

import dataclasses
import importlib.metadata
import os
import pathlib
import subprocess
import sys

import pytest

from mcq_jax import cli, experiments
from mcq_jax.cli import commands, summary
from mcq_jax.experiments import RunConfig
from mcq_jax.results import (
    Record,
    RunFolder,
    RunResults,
    Storage,
    findings_file,
    verdict,
)
from tests.cli.cards import Card
from tests.report.examples import closed_gate, open_gate


def test_overrides_change_the_config(card: Card, monkeypatch: pytest.MonkeyPatch):
    seen: list[RunConfig] = []

    def stop(config, only, again):
        assert (only, again) == (("head_classes",), ("joint_tests",))
        seen.append(config)
        raise ValueError("seen enough")

    monkeypatch.setattr(commands, "_enable_compilation_cache", lambda: None)
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
        cwd=pathlib.Path(__file__).parents[2],
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
    (folder / "findings").mkdir(parents=True)
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


@pytest.mark.parametrize(("bits", "is_said"), [(None, 0), (16.0, 0), (4.85, 1)])
def test_a_page_says_where_weights_are_rounded(
    tmp_path: pathlib.Path, bits: float | None, is_said: int
):
    run = closed_gate()
    about = dataclasses.replace(run.about, weight_bits=bits)
    _write_findings(dataclasses.replace(run, about=about), tmp_path)
    assert cli.main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("weights are rounded to 4.8 bits each") == is_said
    assert "one model of one family" in page


def test_the_page_of_a_run_is_of_all_that_its_folder_has(
    card: Card, capsys, monkeypatch: pytest.MonkeyPatch
):
    """Also of what another card, or another `only`, had found there."""

    def run(config, only, again):
        folder = pathlib.Path(config.out)
        _write_findings(open_gate(), folder)
        one = dict(list(open_gate().records.items())[:1])
        found = dataclasses.replace(open_gate(), records=one)
        return found, RunFolder(Storage.at(folder))

    monkeypatch.setattr(commands, "_enable_compilation_cache", lambda: None)
    monkeypatch.setattr(experiments, "run", run)
    assert cli.main(["run", card(), "--only", "behaviour"]) == 0
    page = pathlib.Path(capsys.readouterr().out.split("Report: ")[-1].strip())
    told = page.read_text(encoding="utf-8")
    assert verdict(open_gate()).sentence.split(";")[0] in told
    assert all(f'id="{section}"' in told for section in ("nodes", "set"))


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

    monkeypatch.setattr(commands, "_enable_compilation_cache", lambda: None)
    monkeypatch.setattr(experiments, "run", run_out)
    assert cli.main(["run", card()]) == 1
    said = capsys.readouterr().err
    assert "out of memory" in said and "--batch" in said


def test_the_summary_shows_the_verdict_and_the_strongest_nodes(capsys):
    run = open_gate()
    summary.print_summary(run)
    text = " ".join(capsys.readouterr().out.split())
    assert verdict(run).sentence.split(";")[0] in text
    strongest = max(run.nodes, key=lambda node: node.direct["rotation"].mean)
    assert strongest.name in text
