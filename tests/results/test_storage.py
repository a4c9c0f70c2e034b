"""A run folder is the same on a local disk and in an object store."""

import pathlib

import numpy as np
import pytest

from mcq_jax.results import RunFolder, Storage
from tests.results.object_store import ObjectStore

MANIFEST = {"identity": {"model": "abc"}}


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore()


def test_a_run_folder_in_an_object_store_needs_one_upload_per_file(store: ObjectStore):
    folder = RunFolder.open(store.storage(), MANIFEST)
    table = folder.table("effects", {})
    for part in (2, 0):
        table.write_part(part, {"x": np.full((2, 3), part)})
    folder.write_text("findings.json", "{}")
    assert table.missing_parts(4) == [1, 3]
    again = RunFolder.open(store.storage(), MANIFEST)
    assert again.read("effects")["x"].tolist() == [[0] * 3] * 2 + [[2] * 3] * 2
    assert again.read_text("findings.json") == "{}"
    assert sorted(store.uploads) == sorted(store.objects) and len(store.objects) == 5


def test_another_run_is_refused_an_object_stores_folder(store: ObjectStore):
    RunFolder.open(store.storage(), MANIFEST)
    with pytest.raises(ValueError, match="mem://bucket/run holds another run"):
        RunFolder.open(store.storage(), {"identity": {"model": "xyz"}})


def test_a_part_counts_in_an_object_store_if_its_footer_reads(store: ObjectStore):
    folder = RunFolder.open(store.storage(), MANIFEST)
    table = folder.table("effects", {})
    table.write_part(0, {"x": np.arange(3)})
    (name,) = (name for name in store.objects if name.endswith(".parquet"))
    store.objects[name] = store.objects[name][:-5]
    assert table.missing_parts(1) == [0]
    assert not table.has_part(1)


def test_what_is_left_in_a_local_folder_is_kept_in_the_store(store: ObjectStore):
    with store.storage().as_local() as here:
        (here / "figures").mkdir()
        (here / "figures" / "one.svg").write_text("<svg/>")
        (here / "report.html").write_text("<p>")
    assert store.objects == {
        "bucket/run/figures/one.svg": b"<svg/>",
        "bucket/run/report.html": b"<p>",
    }
    assert not here.exists()


def test_a_local_folder_is_itself(tmp_path: pathlib.Path):
    storage = Storage.at(tmp_path / "run")
    storage.write("a/b.txt", b"x")
    with storage.as_local() as here:
        assert (here / "a" / "b.txt").read_bytes() == b"x"
    assert storage.names("a") == ["a/b.txt"]
    assert storage.names("nowhere") == []
    assert storage.exists("a/b.txt") and not storage.exists("a")


def test_a_store_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="'ftp://host/run'.*gs://bucket"):
        Storage.at("ftp://host/run")


def test_buckets_are_known_by_their_names():
    for uri in ("gs://bucket/run", "s3://key:secret@bucket/run?region=eu-west-1"):
        storage = Storage.at(uri)
        assert not storage.is_local
        assert storage.path in ("gs://bucket/run", "s3://bucket/run")
