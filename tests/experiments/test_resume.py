"""A run that was stopped goes on where it was, and only that run does."""

import dataclasses
import pathlib
import shutil

import pytest

from mcq_jax.experiments import manifest, pipeline, run
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.results import Table
from tests.experiments.runs import lasting, planted_config, quiet


@pytest.fixture
def copy(finished, tmp_path: pathlib.Path):
    """The finished run's config and folder, to be done with as one likes."""
    folder = shutil.copytree(finished.folder.path, tmp_path / "copy")
    return dataclasses.replace(finished.config, out=str(folder)), folder


def _parts(folder: pathlib.Path) -> dict[str, int]:
    """When each part was written."""
    parts = folder.glob("tables/*/*/*.parquet")
    return {f"{p.parts[-3]}/{p.name}": p.stat().st_mtime_ns for p in parts}


def _file(folder: pathlib.Path, name: str) -> pathlib.Path:
    table, part = name.split("/")
    (file,) = folder.glob(f"tables/{table}/*/{part}")
    return file


def test_only_missing_parts_are_made_again_and_the_findings_are_the_same(
    finished, copy
):
    config, folder = copy
    before = _parts(folder)
    (folder / "findings.json").unlink()
    gone = [
        "behaviour/part-00001.parquet",
        "effects/part-00000.parquet",
        "effects/part-00003.parquet",
        "joint/part-00002.parquet",
    ]
    files = [_file(folder, name) for name in gone]
    for file in files[:-1]:
        file.unlink()
    files[-1].write_bytes(b"half a part")
    findings, _ = run(config, quiet())
    assert lasting(findings) == lasting(finished.findings)
    after = _parts(folder)
    assert set(after) == set(before)
    assert {name for name in before if after[name] != before[name]} == set(gone)


def test_a_run_that_is_killed_goes_on(
    finished, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    config = dataclasses.replace(finished.config, out=str(tmp_path))
    write_part = Table.write_part

    def stop_at_the_third(self, part, columns):
        if (self.name, part) == ("effects", 2):
            raise KeyboardInterrupt
        write_part(self, part, columns)

    with monkeypatch.context() as stopped:
        stopped.setattr(Table, "write_part", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            run(config, quiet())
    before = _parts(tmp_path)
    assert sum("effects" in name for name in before) == 2
    assert not (tmp_path / "findings.json").exists()
    findings, _ = run(config, quiet())
    assert lasting(findings) == lasting(finished.findings)
    assert before.items() <= _parts(tmp_path).items()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(seed=9), "prompts, seed"),
        (dict(planted_seed=5), "planted_seed, weights"),
        (dict(random_sets=4), "random_sets"),
    ],
)
def test_another_run_is_refused_the_folder(copy, changes: dict, named: str):
    config, folder = copy
    before = _parts(folder)
    with pytest.raises(ValueError, match=f"another run: it differs in {named}\\."):
        run(dataclasses.replace(config, **changes), quiet())
    assert _parts(folder) == before


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
            config, checkpoint, dataclasses.replace(asked, prompts=(prompt, *rest))
        )["identity"]["prompts"]
        for prompt in (first, *others)
    }
    assert len(identities) == 3


def test_without_git_the_commit_stays_empty(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = planted_config(tmp_path)
    checkpoint, _ = pipeline.open_model(config)
    asked = make_prompts(config, checkpoint)
    assert manifest.make_manifest(config, checkpoint, asked)["commit"] == ""
