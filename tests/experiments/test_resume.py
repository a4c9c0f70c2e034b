"""A run that was stopped goes on where it was, and only that run does."""

import dataclasses
import errno
import io
import json
import os
import pathlib
import re
import shutil

import pytest
import rich.console

from mcq_jax.experiments import (
    Experiment,
    HeadClasses,
    HeadKinds,
    JointTests,
    RunConfig,
    manifest,
    pipeline,
    run,
)
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.metrics import Thresholds
from mcq_jax.results import NodeEffectsFindings, RunResults, Storage, Table, verdict
from tests.experiments.runs import (
    lasting,
    planted_config,
    quiet,
    with_experiments,
)


def _parts(folder: pathlib.Path) -> dict[str, int]:
    """When each part was written."""
    parts = folder.glob("tables/*/*/*.parquet")
    return {"/".join(p.parts[-3:]): p.stat().st_mtime_ns for p in parts}


def _file(folder: pathlib.Path, name: str) -> pathlib.Path:
    table, part = name.split("/")
    return sorted(folder.glob(f"tables/{table}/*/{part}"))[0]


@pytest.mark.slow
def test_only_missing_parts_are_made_again_and_the_findings_are_the_same(
    finished, copy
):
    config, folder = copy
    before = _parts(folder)
    shutil.rmtree(folder / "findings")
    gone = [
        "behaviour/part-00001.parquet",
        "node_effects/part-00000.parquet",
        "node_effects/part-00003.parquet",
        "joint_tests/part-00002.parquet",
    ]
    files = [_file(folder, name) for name in gone]
    for file in files[:-1]:
        file.unlink()
    files[-1].write_bytes(b"half a part")
    found, _ = run(config, quiet())
    assert lasting(found) == lasting(finished.found)
    after = _parts(folder)
    assert set(after) == set(before)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"/".join(file.parts[-3:]) for file in files}


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_what_it_had_opens(
    finished, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    config = dataclasses.replace(finished.config, out=str(tmp_path))
    _stop_at(monkeypatch, config, table="joint_tests", part=1)
    before = _parts(tmp_path)
    assert sum("joint_tests" in name for name in before) == 1
    had = RunResults.read(Storage.at(tmp_path))
    assert list(had.records) == ["behaviour", "node_effects"]
    assert verdict(had).has_circuit is None
    found, _ = run(config, quiet())
    assert lasting(found) == lasting(finished.found)
    assert _tables(found) == _tables(finished.found)
    assert before.items() <= _parts(tmp_path).items()


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_finished_and_says_what_to_do(
    finished, tmp_path: pathlib.Path, monkeypatch
):
    config = dataclasses.replace(finished.config, out=str(tmp_path))
    written = 0
    to_the_disk = os.fsync

    def fails_later(file: int) -> None:
        nonlocal written
        written += 1
        if written > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        to_the_disk(file)

    with monkeypatch.context() as full:
        full.setattr("os.fsync", fails_later)
        said = "cannot write .*part-.*No space left.*Make room.*finished is kept"
        with pytest.raises(OSError, match=said):
            run(config, quiet())
    before = _parts(tmp_path)
    assert before and not list(tmp_path.rglob("*.tmp"))
    assert RunResults.read(Storage.at(tmp_path)).behaviour
    found, _ = run(config, quiet())
    assert lasting(found) == lasting(finished.found)
    assert before.items() <= _parts(tmp_path).items()


def _tables(found: RunResults) -> dict:
    """By experiment, the tables that its findings come from."""
    return {name: record.tables for name, record in found.records.items()}


def _stop_at(monkeypatch, config: RunConfig, *, table: str, part: int) -> None:
    """Runs until a part of a table would be written."""
    write_part = Table.write_part

    def stop(self, number, columns):
        if (self.name, number) == (table, part):
            raise KeyboardInterrupt
        write_part(self, number, columns)

    with monkeypatch.context() as stopped:
        stopped.setattr(Table, "write_part", stop)
        with pytest.raises(KeyboardInterrupt):
            run(config, quiet())


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tables that parts are written to from here on."""
    written: list[str] = []
    write_part = Table.write_part

    def note(self, number, columns):
        written.append(self.name)
        self.rows = len(columns["prompt"])
        write_part(self, number, columns)

    monkeypatch.setattr(Table, "write_part", note)
    return written


def test_a_finished_run_works_nothing_out(copy, patched):
    config, folder = copy
    before = _parts(folder)
    found, _ = run(config, quiet())
    assert not patched and _parts(folder) == before and len(found.records) == 6


@pytest.mark.slow
def test_more_random_sets_patch_only_the_new_ones(finished, copy, patched):
    config, folder = copy
    found, kept = run(with_experiments(config, JointTests(random_sets=13)), quiet())
    assert set(patched) == {"joint_tests"}
    sizes = [
        len(set(kept.read("joint_tests", key)["row"].tolist()))
        for key in kept.tables()["joint_tests"]
    ]
    # Both ways, before and now; some of the three are drawn twice.
    assert len(sizes) == 4 and sorted(sizes)[1] <= 3 < sorted(sizes)[2]
    again = {row.kind: row for row in found.sets if row.kind != "random"}
    before = {row.kind: row for row in finished.found.sets if row.kind != "random"}
    assert again == before
    # Fewer sets than before are all there.
    patched.clear()
    run(with_experiments(config, JointTests(random_sets=4)), quiet())
    assert not patched


@pytest.mark.slow
def test_other_thresholds_reuse_every_table(copy, patched):
    config, _ = copy
    strict = HeadClasses(thresholds=Thresholds(label_mass=0.21))
    found, _ = run(with_experiments(config, strict), quiet())
    assert "node_effects" not in patched and "joint_tests" not in patched
    assert found.heads


@dataclasses.dataclass(frozen=True, kw_only=True)
class LargestFindings:
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Largest(Experiment):
    """The node of the largest effect: an experiment from outside the package."""

    name = "largest"
    findings = LargestFindings
    needs = ("node_effects",)

    def run(self, lab) -> LargestFindings:
        nodes = lab.findings(NodeEffectsFindings).nodes
        largest = max(nodes, key=lambda node: node.total["rotation"].mean)
        return LargestFindings(name=largest.name)


def test_a_card_with_one_more_experiment_reuses_every_table(copy, patched):
    config, folder = copy
    log = io.StringIO()
    shown = Progress(rich.console.Console(file=log))
    found, _ = run(with_experiments(config, Largest()), shown)
    assert not patched
    # It is told when what there is to do begins, and nothing of what is done.
    begun = re.findall(r"^(\w+), (\d+) of (\d+)$", log.getvalue(), re.MULTILINE)
    assert begun == [("largest", "7", "7")]
    written = found.need(LargestFindings)
    kinds = {"largest": LargestFindings}
    assert RunResults.read(Storage.at(folder), kinds).need(LargestFindings) == written
    # Without the card its findings are still there, as they are.
    unknown = RunResults.read(Storage.at(folder)).records["largest"].values
    assert unknown == {"name": written.name}


@pytest.mark.slow
def test_only_what_is_missing_of_an_experiments_needs_is_run(tmp_path, patched):
    config = planted_config(tmp_path)
    found, _ = run(config, quiet(), only=["joint_tests"])
    assert list(found.records) == ["behaviour", "node_effects", "joint_tests"]
    patched.clear()
    found, _ = run(config, quiet(), only=["head_classes"])
    assert list(found.records) == ["behaviour", "node_effects", "head_classes"]
    assert set(patched) <= {"head_classes"}
    with pytest.raises(ValueError, match="no experiment of this card is called heads"):
        run(config, quiet(), only=["heads"])


@pytest.mark.slow
def test_again_drops_the_tables_of_that_experiment_alone(copy, patched):
    config, folder = copy
    before = _parts(folder)
    run(config, quiet(), again=["joint_tests"])
    assert set(patched) == {"joint_tests"}
    after = _parts(folder)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {name for name in before if name.startswith("joint_tests/")}


@pytest.mark.slow
def test_nothing_that_hosts_share_begins_where_the_first_host_is_alone(
    copy, monkeypatch: pytest.MonkeyPatch
):
    """Each experiment alone: what an earlier one worked out is not there."""
    config, folder = copy
    for name in ("joint_tests", "head_kinds"):
        kept = folder / "findings" / f"{name}.json"
        kept.unlink(missing_ok=True)
        run(with_experiments(config, HeadKinds(permutations=20)), quiet(), only=[name])
        assert kept.exists()

    def chooses(self, lab):
        return lab.decide(LargestFindings, lambda: lab.once("new", lambda: 1))

    monkeypatch.setattr(Largest, "run", chooses)
    with pytest.raises(ValueError, match="'new' is asked for within `decide`"):
        run(with_experiments(config, Largest()), quiet())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(seed=9), "prompts"),
        (dict(planted_seed=5), "weights"),
    ],
)
def test_another_run_is_refused_the_folder(copy, changes: dict, named: str):
    config, folder = copy
    before = _parts(folder)
    with pytest.raises(ValueError, match=f"another run: it differs in {named}\\."):
        run(dataclasses.replace(config, **changes), quiet())
    assert _parts(folder) == before


def test_the_folder_of_an_earlier_version_is_refused_with_a_sentence(
    finished, tmp_path: pathlib.Path
):
    (tmp_path / "findings.json").write_text("{}")
    with pytest.raises(ValueError, match="written by an earlier version"):
        RunResults.read(Storage.at(tmp_path))
    manifest_then = {"identity": {"weights": "x", "prompts": "y", "random_sets": 10}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest_then))
    config = dataclasses.replace(finished.config, out=str(tmp_path))
    with pytest.raises(ValueError, match="holds another run: it differs in .*engine"):
        run(config, quiet())


@pytest.mark.parametrize("text", ["[]", "{", "", "null", '{"identity": 3}'])
def test_a_damaged_manifest_is_named(finished, tmp_path: pathlib.Path, text: str):
    (tmp_path / "manifest.json").write_text(text)
    config = dataclasses.replace(finished.config, out=str(tmp_path))
    with pytest.raises(ValueError, match=r"manifest\.json is (damaged|no manifest)"):
        run(config, quiet())


@pytest.mark.parametrize("text", ["[]", "{", '{"schema": 1}', '{"values": 3}'])
def test_damaged_findings_are_named(copy, text: str):
    _, folder = copy
    (folder / "findings" / "joint_tests.json").write_text(text)
    with pytest.raises(ValueError, match=r"joint_tests\.json cannot be read"):
        RunResults.read(Storage.at(folder))


def test_findings_of_an_earlier_version_open_with_what_they_have(copy):
    _, folder = copy
    file = folder / "findings" / "behaviour.json"
    said = json.loads(file.read_text())
    del said["values"]["enough_questions"]  # came later than the rest, say
    said["values"]["of a later version"] = 1
    file.write_text(json.dumps(said))
    found = RunResults.read(Storage.at(folder)).behaviour
    assert found is not None and found.enough_questions


def test_other_right_answers_to_the_same_prompts_make_another_run(
    tmp_path: pathlib.Path,
):
    config = planted_config(tmp_path)
    checkpoint, _ = pipeline.open_model(config)
    asked = make_prompts(config, checkpoint)
    first, *rest = asked.prompts
    others = [
        dataclasses.replace(first, gold=(first.gold + 1) % 4),
        dataclasses.replace(first, answer_ids=first.answer_ids[::-1]),
    ]
    identities = {
        manifest.make_manifest(
            config,
            checkpoint,
            {"main": dataclasses.replace(asked, prompts=(prompt, *rest))},
        )["identity"]["prompts"]["main"]
        for prompt in (first, *others)
    }
    assert len(identities) == 3


def test_without_git_the_commit_stays_empty(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = planted_config(tmp_path)
    checkpoint, _ = pipeline.open_model(config)
    asked = {"main": make_prompts(config, checkpoint)}
    assert manifest.make_manifest(config, checkpoint, asked)["commit"] == ""
