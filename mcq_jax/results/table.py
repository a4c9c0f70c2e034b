"""`Table`: one table of a run as Parquet parts, in a folder that says what made it.

    tables/<name>/<key>/identity.json      everything that the numbers depend on
    tables/<name>/<key>/part-00000.parquet one finished chunk

A part counts if its footer can be read; `Storage` writes whole files only. When it is
read, its columns must have the digest that was written with them: a flipped bit in a
compressed number is another number, not a damaged file.
"""

import functools
import hashlib
import io
import json
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


class Table:
    """The parts of one table; see `RunFolder.table`."""

    def __init__(
        self, storage: Storage, name: str, key: str, identity: Any | None = None
    ):
        self._storage, self.name, self.key = storage, name, key
        # As JSON has it; None of a table that is only read.
        self.identity = identity
        self._folder = f"tables/{name}/{self.key}"

    def complete(
        self,
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
        missing = self.missing_parts(len(chunks))
        if not missing:
            return self.read()
        done = sharding.run_chunks(chunks, work, only=missing, track=track)
        for part, found in zip(missing, done, strict=True):
            self.write_part(part, columns(chunks[part], found))
        return self.read()

    def missing_parts(self, count: int) -> list[int]:
        """Returns which of the table's `count` parts are not there, or not whole."""
        return told(lambda: self._missing(count))

    def has_part(self, part: int) -> bool:
        """Whether the part is there and whole (its footer reads)."""
        try:
            with self._storage.open(self._part(part)) as file:
                pq.read_metadata(file)
            return True
        except (FileNotFoundError, pa.ArrowException, UnicodeDecodeError):
            return False
        except OSError:  # of the disk or the network, or of what stands in the footer
            content = self._storage.read(self._part(part))
        try:
            pq.read_metadata(pa.BufferReader(content))
        except (pa.ArrowException, UnicodeDecodeError, OSError):
            return False
        return True

    def write_part(self, part: int, columns: Columns) -> None:
        """Writes one finished chunk. Columns with more than one axis become lists."""
        if not sharding.is_first_host():
            return
        self._say_what_made_it()
        arrow = pa.table({name: _to_arrow(array) for name, array in columns.items()})
        arrow = arrow.replace_schema_metadata({_DIGEST: _digest(arrow)})
        content = io.BytesIO()
        pq.write_table(arrow, content, compression="zstd", write_page_checksum=True)
        self._storage.write(self._part(part), content.getvalue())

    def read(self) -> dict[str, np.ndarray]:
        """Returns the columns, parts in order, lists as further axes."""
        parts = told(self._parts)
        if not parts:
            raise FileNotFoundError(
                f"table {self.name!r} of {self._storage.path} has no parts; run the "
                "experiment that makes it first."
            )
        contents = zip(parts, self._contents(parts), strict=True)
        arrow = pa.concat_tables(self._opened(*part) for part in contents)
        return {name: _to_numpy(arrow[name]) for name in arrow.column_names}

    def _opened(self, name: str, content: bytes) -> pa.Table:
        file = pa.BufferReader(content)
        try:
            found = pq.ParquetFile(file, page_checksum_verification=True).read()
            written = (found.schema.metadata or {}).get(_DIGEST)  # None: of before
            if written is not None and written != _digest(found):
                raise ValueError("its digest is another one")
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(
                f"{self._storage.path}/{name} is damaged ({error}); delete it and "
                "start the run again: only this part is made anew."
            ) from error
        return found.replace_schema_metadata(None)

    def _say_what_made_it(self) -> None:
        name = f"{self._folder}/identity.json"
        if not self._storage.exists(name):
            text = json.dumps(self.identity, indent=1)
            self._storage.write(name, text.encode())

    def _missing(self, count: int) -> list[int]:
        there = set(self._storage.names(self._folder))
        found = [part for part in range(count) if self._part(part) in there]
        with ThreadPoolExecutor(_READERS) as pool:
            whole = pool.map(self.has_part, found)
            done = {
                part for part, is_whole in zip(found, whole, strict=True) if is_whole
            }
        return [part for part in range(count) if part not in done]

    def _part(self, part: int) -> str:
        return f"{self._folder}/part-{part:05d}.parquet"

    def _parts(self) -> list[str]:
        names = self._storage.names(self._folder)
        return [name for name in names if name.endswith(".parquet")]

    def _contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """Files in order; the first host reads ahead and tells the others."""
        mine = names if sharding.is_first_host() else ()
        with ThreadPoolExecutor(_READERS) as pool:
            ahead = pool.map(self._storage.read, mine)
            for _ in names:
                yield sharding.on_first_host(functools.partial(next, ahead))


_DIGEST = b"mcq_jax.digest"


def _digest(table: pa.Table) -> bytes:
    digest = hashlib.sha256()
    for name in table.column_names:
        array = _to_numpy(table[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        is_text = array.dtype == object
        digest.update(repr(array.tolist()).encode() if is_text else array.tobytes())
    return digest.hexdigest().encode()


def told(look: Callable[[], Any]) -> Any:
    """Returns what the first host finds, as JSON has it, on every host."""
    return json.loads(sharding.on_first_host(lambda: json.dumps(look()).encode()))


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
