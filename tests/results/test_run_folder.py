"""A run folder keeps what was finished, whatever happens in between."""

import json
from pathlib import Path

import numpy as np
import pytest

from mcq_jax.results import RunFolder, Table, content_hash

MANIFEST = {
    "identity": {"model": "abc", "prompts": 12, "plan": ["rotation", "other"]},
    "versions": {"jax": "0"},
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.open(tmp_path / "run", MANIFEST)


@pytest.fixture
def table(folder: RunFolder) -> Table:
    return folder.table("effects", {"plan": "every node"})


COLUMNS = {
    "float32": np.array([1.5, np.nan, -np.inf], np.float32),
    "float64": np.array([0.1, 1e300, -0.0]),
    "float16": np.array([0.5, 1.0, 2.0], np.float16),
    "int8": np.array([-1, 0, 1], np.int8),
    "int64": np.array([2**62, 0, -1]),
    "bool": np.array([True, False, True]),
    "matrix": np.arange(6, dtype=np.float32).reshape(3, 2),
    "four axes": np.arange(72, dtype=np.int32).reshape(3, 2, 3, 4),
    "flags by node": np.arange(12).reshape(3, 4) % 3 == 0,
    "strided": np.arange(12, dtype=np.float64).reshape(2, 6).T[::2],
    "width one": np.ones((3, 1), np.float32),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_as_it_was(table: Table, name: str):
    table.write_part(0, {name: COLUMNS[name]})
    found = table.read()[name]
    assert found.dtype == COLUMNS[name].dtype
    np.testing.assert_array_equal(found, COLUMNS[name])


@pytest.mark.parametrize(
    "texts",
    [
        np.array(["a", "", "Zürich: 3 × π 🜚"]),
        np.array([["A", "B"], ["C", "\n\t"], ["long" * 50, "x"]]),
    ],
    ids=["one axis", "two axes"],
)
def test_texts_come_back_as_they_were(table: Table, texts: np.ndarray):
    table.write_part(0, {"text": texts})
    found = table.read()["text"]
    assert found.shape == texts.shape
    assert found.tolist() == texts.tolist()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (0, 3, 4)], ids=str)
def test_a_table_without_rows_keeps_its_shape(table: Table, shape: tuple[int, ...]):
    table.write_part(0, {"empty": np.zeros(shape, np.float32)})
    assert table.read()["empty"].shape == shape


@pytest.mark.parametrize("shape", [(2, 0), (0, 0), (2, 3, 0)], ids=str)
def test_other_axes_of_size_zero_are_refused(table: Table, shape):
    with pytest.raises(ValueError, match="has an axis of size 0"):
        table.write_part(0, {"empty": np.zeros(shape, np.float32)})
    assert not table.has_part(0)


def test_parts_are_read_in_their_order_not_in_that_of_writing(table: Table):
    for part in (10, 2, 0):
        table.write_part(part, {"part": np.full(2, part)})
    assert table.read()["part"].tolist() == [0, 0, 2, 2, 10, 10]


def test_parts_of_one_table_are_not_those_of_another(folder: RunFolder, table: Table):
    table.write_part(0, {"x": np.arange(2)})
    assert table.has_part(0)
    assert not table.has_part(1)
    assert not folder.table("behaviour", {"plan": "every node"}).has_part(0)


def _part(folder: RunFolder) -> Path:
    return next(Path(folder.path).glob("tables/effects/*/part-*.parquet"))


def test_a_file_left_by_a_killed_run_is_no_part(folder: RunFolder, table: Table):
    table.write_part(0, {"x": np.arange(3)})
    stale = _part(folder).with_name("part-00001.4711.tmp")
    stale.write_bytes(_part(folder).read_bytes()[:40])
    assert not table.has_part(1)
    assert table.read()["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kept", [0, 3, 40, -1, -8])
def test_a_truncated_part_counts_as_missing_and_is_written_again(
    folder: RunFolder, table: Table, kept: int
):
    table.write_part(0, {"x": np.arange(3)})
    _part(folder).write_bytes(_part(folder).read_bytes()[:kept])
    assert not table.has_part(0)
    table.write_part(0, {"x": np.arange(3)})
    assert table.has_part(0)
    assert table.read()["x"].tolist() == [0, 1, 2]


def test_a_part_with_a_broken_footer_counts_as_missing(folder: RunFolder, table: Table):
    table.write_part(0, {"x": np.arange(3)})
    content = bytearray(_part(folder).read_bytes())
    content[-60:-8] = bytes(52)
    _part(folder).write_bytes(content)
    assert not table.has_part(0)


def test_a_write_that_fails_leaves_the_old_part(table: Table, monkeypatch):
    table.write_part(0, {"x": np.arange(3)})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        table.write_part(0, {"x": np.arange(9)})
    assert table.read()["x"].tolist() == [0, 1, 2]


def test_finished_parts_leave_no_temporary_files(folder: RunFolder, table: Table):
    table.write_part(0, {"x": np.arange(3)})
    folder.write_text("findings.json", "{}")
    files = {path.name for path in Path(folder.path).rglob("*") if path.is_file()}
    assert files == {
        "manifest.json",
        "identity.json",
        "part-00000.parquet",
        "findings.json",
    }


def test_a_table_that_was_never_written_is_refused_by_name(table: Table):
    with pytest.raises(FileNotFoundError, match="table 'effects' .* has no parts"):
        table.read()


def test_a_table_made_in_another_way_is_another_table(folder: RunFolder):
    one, other = (folder.table("effects", {"plan": np.arange(n)}) for n in (3, 4))
    one.write_part(0, {"x": np.arange(3)})
    assert one.key != other.key and not other.has_part(0)
    other.write_part(0, {"x": np.arange(4)})
    assert one.read()["x"].tolist() == [0, 1, 2]
    assert folder.tables() == {"effects": sorted([one.key, other.key])}


def test_a_table_says_what_made_it(folder: RunFolder, table: Table):
    table.write_part(0, {"x": np.arange(3)})
    said = folder.read_text(f"tables/effects/{table.key}/identity.json")
    assert json.loads(said) == {"plan": "every node"}


def test_the_same_run_enters_its_folder_again(folder: RunFolder, table: Table):
    table.write_part(0, {"x": np.arange(3)})
    again = {**MANIFEST, "versions": {"jax": "1"}}
    entered = RunFolder.open(folder.path, again)
    assert entered.table("effects", {"plan": "every node"}).has_part(0)
    assert entered.manifest() == MANIFEST


def test_tuples_in_a_manifest_are_the_lists_that_json_makes_of_them(folder: RunFolder):
    identity = {**MANIFEST["identity"], "plan": ("rotation", "other")}
    RunFolder.open(folder.path, {"identity": identity})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "xyz"}, "model"),
        ({"prompts": 13, "plan": []}, "plan, prompts"),
        ({"dtype": "bfloat16"}, "dtype"),
    ],
    ids=["other value", "two values", "more"],
)
def test_another_run_is_refused_by_what_differs(folder: RunFolder, change, named: str):
    other = {"identity": {**MANIFEST["identity"], **change}}
    with pytest.raises(ValueError, match=f"holds another run: .* differs in {named}"):
        RunFolder.open(folder.path, other)
    assert folder.manifest() == MANIFEST


def test_a_folder_whose_name_looks_like_a_partition_adds_no_column(tmp_path: Path):
    folder = RunFolder.open(tmp_path / "seed=1", MANIFEST)
    table = folder.table("effects", {})
    table.write_part(0, {"x": np.arange(3)})
    assert list(table.read()) == ["x"]


def test_text_files_are_written_whole(folder: RunFolder):
    folder.write_text("figures/one.svg", "<svg>é</svg>")
    written = (Path(folder.path) / "figures" / "one.svg").read_text(encoding="utf-8")
    assert written == "<svg>é</svg>"


def test_content_hashes_tell_contents_apart_and_nothing_else():
    first = content_hash({"b": 1, "a": [1, 2]}, "text")
    assert first == content_hash({"a": (1, 2), "b": 1}, "text")
    assert first == "9c83319adab82f5d", "the same on every machine"
    others = [content_hash({"b": 2, "a": [1, 2]}, "text"), content_hash("text")]
    assert len({first, *others}) == 3
