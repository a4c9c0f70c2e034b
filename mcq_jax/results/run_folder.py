"""`RunFolder`: where a run's tables live, so that a run killed at any moment resumes.

A table is a folder of Parquet parts, one per finished chunk. A part counts if its
footer can be read; `Storage` writes whole files only. The manifest says what was run;
a folder made by another run is refused, never mixed with.

Of several hosts the first one alone touches files, and tells the others what it finds:
so all agree on what is missing, and they need no disk in common.
"""

import functools
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcq_jax import sharding
from mcq_jax.results.storage import Storage

Columns = Mapping[str, np.ndarray]

# Footers read at once: in an object store each takes as long as a packet to there.
_READERS = 16


class RunFolder:
    """The folder of one run: manifest, tables, figures and report."""

    def __init__(self, storage: Storage):
        self.storage = storage

    @classmethod
    def open(cls, path: str | os.PathLike | Storage, manifest: Mapping) -> "RunFolder":
        """Creates the folder, or enters it again to go on with the same run.

        Two runs are the same if the `identity` parts of their manifests are: the
        checkpoint's content, the prompts, the plan, the dtype. Versions and machine
        are recorded and may differ.

        Args:
            path: local, or gs://bucket/…, s3://bucket/….
        """
        folder = cls(path if isinstance(path, Storage) else Storage.at(path))
        found = _told(lambda: folder._enter(manifest))
        _check_same_run(folder.path, found["identity"], manifest["identity"])
        return folder

    @property
    def path(self) -> str:
        """The folder as the user named it."""
        return self.storage.path

    def manifest(self) -> dict:
        return json.loads(self.read_text(_MANIFEST))

    def complete(
        self,
        table: str,
        chunks: Sequence[sharding.Chunk],
        work: Callable[[sharding.Chunk], Any],
        columns: Callable[[sharding.Chunk, Any], Columns],
        *,
        track: sharding.Track = iter,
    ) -> dict[str, np.ndarray]:
        """Runs the chunks whose parts are missing, and returns the whole table.

        Args:
            work: from prompts to arrays `[prompt, …]`, as for `sharding.run_chunks`.
            columns: from a chunk and its arrays to its part of the table.
        """
        missing = self.missing_parts(table, len(chunks))
        done = sharding.run_chunks([chunks[p] for p in missing], work, track=track)
        for part, found in zip(missing, done, strict=True):
            self.write_part(table, part, columns(chunks[part], found))
        return self.read(table)

    def missing_parts(self, table: str, count: int) -> list[int]:
        """Returns which of a table's `count` parts are not there, or not whole."""
        return _told(lambda: self._missing(table, count))

    def _missing(self, table: str, count: int) -> list[int]:
        there = set(self.storage.names(_folder(table)))
        found = [part for part in range(count) if _part(table, part) in there]
        with ThreadPoolExecutor(_READERS) as pool:
            whole = pool.map(lambda part: self.has_part(table, part), found)
            done = {
                part for part, is_whole in zip(found, whole, strict=True) if is_whole
            }
        return [part for part in range(count) if part not in done]

    def has_part(self, table: str, part: int) -> bool:
        """Whether the part is there and whole (its footer reads)."""
        try:
            with self.storage.open(_part(table, part)) as file:
                pq.read_metadata(file)
        except (FileNotFoundError, pa.ArrowInvalid):
            return False
        return True

    def write_part(self, table: str, part: int, columns: Columns) -> None:
        """Writes one finished chunk. Columns with more than one axis become lists."""
        if not sharding.is_first_host():
            return
        arrow = pa.table({name: _to_arrow(array) for name, array in columns.items()})
        content = io.BytesIO()
        pq.write_table(arrow, content, compression="zstd")
        self.storage.write(_part(table, part), content.getvalue())

    def read(self, table: str) -> dict[str, np.ndarray]:
        """Returns a table's columns, parts in order, lists as further axes."""
        parts = _told(lambda: self._parts(table))
        if not parts:
            raise FileNotFoundError(
                f"table {table!r} of {self.path} has no parts; run the experiment that "
                "makes it first."
            )
        arrow = pa.concat_tables(
            pq.ParquetFile(pa.BufferReader(content)).read()
            for content in self._contents(parts)
        )
        return {name: _to_numpy(arrow[name]) for name in arrow.column_names}

    def read_text(self, name: str) -> str:
        return sharding.on_first_host(lambda: self.storage.read(name)).decode()

    def write_text(self, name: str, text: str) -> None:
        """Writes a whole text file of the folder at once."""
        if sharding.is_first_host():
            self.storage.write(name, text.encode())

    def _enter(self, manifest: Mapping) -> dict:
        """Returns the manifest that is there, or leaves this one and returns it."""
        if not self.storage.exists(_MANIFEST):
            self.storage.write(_MANIFEST, json.dumps(manifest, indent=2).encode())
        return json.loads(self.storage.read(_MANIFEST))

    def _parts(self, table: str) -> list[str]:
        names = self.storage.names(_folder(table))
        return [name for name in names if name.endswith(".parquet")]

    def _contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """Files in order; the first host reads ahead and tells the others."""
        mine = names if sharding.is_first_host() else ()
        with ThreadPoolExecutor(_READERS) as pool:
            ahead = pool.map(self.storage.read, mine)
            for _ in names:
                yield sharding.on_first_host(functools.partial(next, ahead))


_MANIFEST = "manifest.json"


def _told(look: Callable[[], Any]) -> Any:
    """Returns what the first host finds, as JSON has it, on every host."""
    return json.loads(sharding.on_first_host(lambda: json.dumps(look()).encode()))


def _folder(table: str) -> str:
    return f"tables/{table}"


def _part(table: str, part: int) -> str:
    return f"{_folder(table)}/part-{part:05d}.parquet"


def content_hash(*parts: object) -> str:
    """Returns one hash of JSON-able values, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_same_run(path: str, found: Mapping, asked: Mapping) -> None:
    asked = json.loads(json.dumps(asked))
    names = sorted(set(found) | set(asked))
    differing = [name for name in names if found.get(name) != asked.get(name)]
    if differing:
        raise ValueError(
            f"{path} holds another run: it differs in {', '.join(differing)}. Give "
            "this run a folder of its own (--out), or delete that one."
        )


def _to_arrow(array: np.ndarray) -> pa.Array:
    array = np.asarray(array)
    if 0 in array.shape[1:]:
        raise ValueError(
            f"a column of shape {array.shape} has an axis of size 0, which Parquet's "
            "lists cannot keep; leave the column out."
        )
    flat = pa.array(array.reshape(-1))
    for size in reversed(array.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
    return flat


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    shape, values = [len(column)], column.combine_chunks()
    while pa.types.is_fixed_size_list(values.type):
        shape.append(values.type.list_size)
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(shape)
