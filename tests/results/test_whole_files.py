"""A file is there whole or not at all, and an error says what to do."""

import errno
import os
import pathlib
import re
import socket

import numpy as np
import pytest

from mcq_jax.experiments import run
from mcq_jax.results import RunFolder, Storage, remove_leftovers, write_whole
from tests.experiments.runs import planted_config, quiet

NOBODY = 2**22 + 1  # beyond the largest number that Linux gives a process


@pytest.mark.parametrize(
    ("number", "to_do"),
    [
        (errno.ENOSPC, "Make room on that disk"),
        (errno.EFBIG, "Lift the limit on the size of files"),
        (errno.EROFS, "Make that disk writable"),
        (errno.EIO, "Mend that"),
    ],
)
@pytest.mark.parametrize("fails", ["os.fsync", "os.replace"])
def test_a_write_that_fails_keeps_the_old_file_and_says_what_to_do(
    tmp_path: pathlib.Path, monkeypatch, number: int, to_do: str, fails: str
):
    file = tmp_path / "a.json"
    write_whole(file, b"old")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fails, refuse)
    said = f"cannot write {file}: {os.strerror(number)}. {to_do}"
    with pytest.raises(OSError, match=re.escape(said)):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.json"]


def test_a_disk_that_is_really_full_is_told_of(monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    opened = open
    monkeypatch.setattr("builtins.open", lambda *_: opened("/dev/full", "wb"))
    with pytest.raises(OSError, match="cannot write /nowhere/x: No space left"):
        write_whole(pathlib.Path("/nowhere/x"), b"text")


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        (f"part-00001.parquet.{{host}}.{NOBODY}.0123abcd.tmp", True),
        # Written by this process (or one of its number before it); by another at work;
        # by another machine; by somebody else.
        (f"a.json.{{host}}.{os.getpid()}.0123abcd.tmp", True),
        (f"a.json.{{host}}.{os.getppid()}.0123abcd.tmp", False),
        (f"a.json.another-{{host}}.{NOBODY}.0123abcd.tmp", False),
        ("notes.tmp", False),
    ],
    # Every worker of a parallel run collects the same names.
    ids=["ended", "own", "at work", "another machine's", "somebody's"],
)
def test_only_what_killed_processes_left_is_removed(
    tmp_path: pathlib.Path, name: str, goes: bool
):
    left = tmp_path / "tables" / name.format(host=socket.gethostname())
    write_whole(left, b"half")
    remove_leftovers(tmp_path)
    assert left.exists() != goes


def test_a_folder_that_may_not_be_written_to_is_refused_before_weights_are_read(
    tmp_path: pathlib.Path, monkeypatch
):
    # The superuser may write everywhere, hence no real folder without permission.
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    out = tmp_path / "runs" / "mine"
    config = planted_config(out, model="no-such-model")
    with pytest.raises(PermissionError, match=f"{out}: {tmp_path} may not be written"):
        run(config, quiet())
    assert not out.exists()


def test_a_folder_below_a_file_is_refused(tmp_path: pathlib.Path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NotADirectoryError, match=f"{file} is a file"):
        Storage.at(file / "run").check_writable()


@pytest.mark.parametrize("text", ["", "[]", '{"plan": 4}'])
def test_what_does_not_say_what_made_a_table_is_named(
    tmp_path: pathlib.Path, text: str
):
    folder = RunFolder.open(tmp_path, {"identity": {}})
    table = folder.table("effects", {"plan": 3})
    table.write_part(0, {"x": np.ones(1)})
    name = f"tables/effects/{table.key}/identity.json"
    assert folder.identities("effects") == {table.key: {"plan": 3}}
    folder.write_text(name, text)
    with pytest.raises(ValueError, match=f"{name} is damaged.*Delete that table"):
        folder.identities("effects")
