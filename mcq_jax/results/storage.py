"""`Storage`: a folder on a local disk or in an object store, whose files are whole.

`gs://` and `s3://` are pyarrow's own, and so are their credentials. A file is written
at once: on a local disk by `write_whole`, in an object store, where nothing is seen
before the upload is done, by one upload.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.fs as filesystems

from mcq_jax.results.whole_files import (
    check_writable,
    remove_leftovers,
    told_what_to_do,
    write_whole,
)


class Storage:
    """The files of one folder, by their names in it (`tables/effects/…`)."""

    def __init__(self, filesystem: filesystems.FileSystem, root: str, *, path: str):
        self._filesystem, self._root = filesystem, root.rstrip("/")
        # As the user named it, without the options (and secrets) of a URI.
        self.path = path

    @classmethod
    def at(cls, path: str | os.PathLike) -> "Storage":
        """Opens a local path, or a URI such as gs://bucket/runs or s3://bucket/runs."""
        text = os.fspath(path)
        if "://" not in text:
            root = os.path.abspath(os.path.expanduser(text))
            return cls(filesystems.LocalFileSystem(), root, path=text)
        try:
            filesystem, root = filesystems.FileSystem.from_uri(text)
        except pa.ArrowInvalid as error:
            raise ValueError(
                f"cannot write to {text!r}: {error}. Give a local path, or a URI such "
                "as gs://bucket/runs/mine or s3://bucket/runs/mine."
            ) from error
        return cls(filesystem, root, path=f"{text.partition('://')[0]}://{root}")

    @property
    def is_local(self) -> bool:
        return isinstance(self._filesystem, filesystems.LocalFileSystem)

    def open(self, name: str) -> pa.NativeFile:
        """Opens a file to be read at any place; FileNotFoundError if there is none."""
        return self._filesystem.open_input_file(self._full(name))

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def exists(self, name: str) -> bool:
        info = self._filesystem.get_file_info(self._full(name))
        return info.type == filesystems.FileType.File

    def names(self, folder: str) -> list[str]:
        """Returns the files right below a folder, sorted; none if it is not there."""
        selector = filesystems.FileSelector(self._full(folder), allow_not_found=True)
        found = self._filesystem.get_file_info(selector)
        files = [i.base_name for i in found if i.type == filesystems.FileType.File]
        return sorted(f"{folder}/{name}" for name in files)

    def folders(self, folder: str) -> list[str]:
        """Returns the names of the folders right below one, sorted."""
        selector = filesystems.FileSelector(self._full(folder), allow_not_found=True)
        found = self._filesystem.get_file_info(selector)
        inner = filesystems.FileType.Directory
        return sorted(i.base_name for i in found if i.type == inner)

    def remove(self, folder: str) -> None:
        """Removes a folder and all that is in it; none is as good as removed."""
        kind = self._filesystem.get_file_info(self._full(folder)).type
        if kind == filesystems.FileType.Directory:
            self._filesystem.delete_dir(self._full(folder))

    def remove_file(self, name: str) -> None:
        """Removes a file; one that is not there is as good as removed."""
        if self.exists(name):
            self._filesystem.delete_file(self._full(name))

    def write(self, name: str, content: bytes) -> None:
        """Writes a whole file, in place of one that is there.

        Raises:
            OSError: with a sentence on what to do; an earlier file is as it was.
        """
        if self.is_local:
            write_whole(pathlib.Path(self._full(name)), content)
            return
        with told_what_to_do(f"{self.path}/{name}"):
            with self._filesystem.open_output_stream(self._full(name)) as file:
                file.write(content)

    def remove_leftovers(self) -> None:
        """Removes what killed processes had begun to write on a local disk."""
        if self.is_local:
            remove_leftovers(pathlib.Path(self._root))

    def check_writable(self) -> None:
        """Refuses a local folder that cannot be written to, before there is work."""
        if self.is_local:
            check_writable(pathlib.Path(self._root))

    @contextlib.contextmanager
    def as_local(self) -> Iterator[pathlib.Path]:
        """A local folder for those who need one; what they leave there is kept here."""
        if self.is_local:
            yield pathlib.Path(self._root)
            return
        with tempfile.TemporaryDirectory() as temporary:
            here = pathlib.Path(temporary)
            yield here
            for file in sorted(here.rglob("*")):
                if file.is_file():
                    self.write(file.relative_to(here).as_posix(), file.read_bytes())

    def _full(self, name: str) -> str:
        return f"{self._root}/{name}"
