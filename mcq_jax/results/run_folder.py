"""`RunFolder`: where a run's tables live, so that a run killed at any moment resumes.

The manifest says of which model and prompts everything in the folder is; a folder of
others is refused, never mixed with. What else a table depends on is in its own key
(`results.table`), so that one more experiment, or another option of one, leaves the
rest as it is.

Of several hosts the first one alone touches files, and tells the others what it finds:
so all agree on what is missing, and they need no disk in common.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcq_jax import sharding
from mcq_jax.results.identity import fingerprint, key_of
from mcq_jax.results.run_results import findings_file
from mcq_jax.results.storage import Storage
from mcq_jax.results.table import Table, told

_MANIFEST = "manifest.json"


class RunFolder:
    """The folder of one run: manifest, tables, findings, figures and report."""

    def __init__(self, storage: Storage):
        self.storage = storage

    @classmethod
    def open(cls, path: str | os.PathLike | Storage, manifest: Mapping) -> "RunFolder":
        """Creates the folder, or enters it again to go on with the same run.

        Two runs are the same if the `identity` parts of their manifests are: the
        checkpoint's content, the prompts, the dtype. Versions and machine are recorded
        and may differ; what experiments are asked for is in the keys of their tables.

        Args:
            path: local, or gs://bucket/…, s3://bucket/….
        """
        folder = cls(path if isinstance(path, Storage) else Storage.at(path))
        found = told(lambda: folder._enter(manifest))
        _check_same_run(folder.path, found["identity"], manifest["identity"])
        return folder

    @classmethod
    def manifest_at(cls, path: str | os.PathLike) -> dict | None:
        """Returns the manifest of a run that was begun in this folder, or None."""
        folder = cls(Storage.at(path))
        return told(
            lambda: folder._manifest() if folder.storage.exists(_MANIFEST) else None
        )

    @property
    def path(self) -> str:
        """The folder as the user named it."""
        return self.storage.path

    def manifest(self) -> dict:
        return told(self._manifest)

    def table(self, name: str, identity: Mapping[str, Any]) -> Table:
        """Returns the table of this name that was made in exactly this way.

        Another identity is another table beside it: whatever numbers are read were made
        by what was asked for.

        Args:
            identity: everything that the numbers depend on beyond the manifest's
                identity, for `fingerprint`; the chunks too, since parts are counted.
        """
        return Table(self.storage, name, key_of(identity), fingerprint(identity))

    def table_of(self, name: str, key: str) -> Table:
        """Returns a table by its key, to be read."""
        return Table(self.storage, name, key)

    def identities(self, name: str) -> dict[str, Any]:
        """Returns what made each table of this name, by their keys."""

        def look() -> dict[str, Any]:
            found = {}
            for key in self.storage.folders(f"tables/{name}"):
                file = f"tables/{name}/{key}/identity.json"
                if self.storage.exists(file):
                    found[key] = self._made_of(name, key)
            return found

        return told(look)

    def forget(self, experiment: str) -> None:
        """Drops an experiment's tables and findings; those of others stay."""

        def drop() -> bool:
            self.storage.remove(f"tables/{experiment}")
            self.storage.remove_file(findings_file(experiment))
            return True

        told(drop)

    def has_file(self, name: str) -> bool:
        return told(lambda: self.storage.exists(name))

    def read(self, name: str, key: str | None = None) -> dict[str, np.ndarray]:
        """Returns the columns of a table; of several of the name, that of the key."""
        keys = self.tables().get(name, [])
        if key is None and len(keys) > 1:
            raise ValueError(
                f"{self.path} has {len(keys)} tables {name!r}, made in different ways "
                f"({', '.join(keys)}); give the key of one."
            )
        return Table(self.storage, name, key or next(iter(keys), "")).read()

    def tables(self) -> dict[str, list[str]]:
        """Returns the keys of the tables that are there, by name."""
        return told(
            lambda: {
                name: self.storage.folders(f"tables/{name}")
                for name in self.storage.folders("tables")
            }
        )

    def read_text(self, name: str) -> str:
        return sharding.on_first_host(lambda: self.storage.read(name)).decode()

    def write_text(self, name: str, text: str) -> None:
        """Writes a whole text file of the folder at once."""
        if sharding.is_first_host():
            self.storage.write(name, text.encode())

    def _made_of(self, name: str, key: str) -> dict[str, Any]:
        file = f"tables/{name}/{key}/identity.json"
        try:
            said = json.loads(self.storage.read(file))
        except ValueError:
            said = None
        if not isinstance(said, dict) or key_of(said) != key:
            raise ValueError(
                f"{self.path}/{file} is damaged: it is not what made the table beside "
                "it. Delete that table's folder, and the run makes it again."
            )
        return said

    def _enter(self, manifest: Mapping) -> dict:
        """Returns the manifest that is there, or leaves this one and returns it."""
        self.storage.remove_leftovers()
        if not self.storage.exists(_MANIFEST):
            self.storage.write(_MANIFEST, json.dumps(manifest, indent=2).encode())
        return self._manifest()

    def _manifest(self) -> dict:
        path = f"{self.path}/{_MANIFEST}"
        try:
            found = json.loads(self.storage.read(_MANIFEST))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path} is damaged ({error}); nothing says what the tables beside it "
                "are of. Give the run another folder (--out), or delete that one."
            ) from error
        if not isinstance(found, dict) or not isinstance(found.get("identity"), dict):
            raise ValueError(
                f"{path} is no manifest of a run: it says nothing of an identity. Give "
                "the run another folder (--out), or delete that one."
            )
        return found


def content_hash(*parts: object) -> str:
    """Returns one hash of JSON-able values, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _differs(found: Any, asked: Any) -> bool:
    """Whether one contradicts the other; of named parts, only those that both have."""
    if isinstance(found, dict) and isinstance(asked, dict):
        return any(_differs(found[name], asked[name]) for name in found.keys() & asked)
    return found != asked


def _check_same_run(path: str, found: Mapping, asked: Mapping) -> None:
    asked = json.loads(json.dumps(asked))
    names = sorted(set(found) | set(asked))
    differing = [name for name in names if _differs(found.get(name), asked.get(name))]
    if differing:
        raise ValueError(
            f"{path} holds another run: it differs in {', '.join(differing)}. Give "
            "this run a folder of its own (--out), or delete that one."
        )
