"""`RunFolder`: where a run's tables live, so that a run killed at any moment resumes.

A table is a folder of Parquet parts, one per finished chunk. A part is written to a
temporary file, synced and renamed, so that a part that exists is whole. The manifest
says what was run; a folder made by another run is refused, never mixed with.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Columns = Mapping[str, np.ndarray]


class RunFolder:
    """The folder of one run: manifest, tables, figures and report."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    @classmethod
    def open(cls, path: str | pathlib.Path, manifest: Mapping) -> "RunFolder":
        """Creates the folder, or enters it again to go on with the same run.

        Two runs are the same if the `identity` parts of their manifests are: the
        checkpoint's content, the prompts, the plan, the dtype. Versions and machine
        are recorded and may differ.
        """
        folder = cls(pathlib.Path(path))
        folder.path.mkdir(parents=True, exist_ok=True)
        file = folder.path / "manifest.json"
        if file.exists():
            found = json.loads(file.read_text())
            _check_same_run(folder.path, found["identity"], manifest["identity"])
        else:
            folder.write_text("manifest.json", json.dumps(manifest, indent=2))
        return folder

    def manifest(self) -> dict:
        return json.loads((self.path / "manifest.json").read_text())

    def has_part(self, table: str, part: int) -> bool:
        """Whether the part is there and whole (its footer reads)."""
        try:
            pq.read_metadata(self._part(table, part))
        except (FileNotFoundError, pa.ArrowInvalid):
            return False
        return True

    def write_part(self, table: str, part: int, columns: Columns) -> None:
        """Writes one finished chunk. Columns with more than one axis become lists."""
        arrow = pa.table({name: _to_arrow(array) for name, array in columns.items()})
        target = self._part(table, part)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        with open(temporary, "wb") as file:
            pq.write_table(arrow, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)

    def read(self, table: str) -> dict[str, np.ndarray]:
        """Returns a table's columns, parts in order, lists as further axes."""
        parts = sorted((self.path / "tables" / table).glob("part-*.parquet"))
        if not parts:
            raise FileNotFoundError(
                f"table {table!r} of {self.path} has no parts; run the experiment that "
                "makes it first."
            )
        arrow = pa.concat_tables([pq.read_table(part) for part in parts])
        return {name: _to_numpy(arrow[name]) for name in arrow.column_names}

    def write_text(self, name: str, text: str) -> pathlib.Path:
        """Writes a whole text file of the folder at once."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, target)
        return target

    def _part(self, table: str, part: int) -> pathlib.Path:
        return self.path / "tables" / table / f"part-{part:05d}.parquet"


def content_hash(*parts: object) -> str:
    """Returns one hash of JSON-able values, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_same_run(path: pathlib.Path, found: Mapping, asked: Mapping) -> None:
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
