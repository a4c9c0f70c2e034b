"""An object store in memory, for tests: no folders, no renames, no half objects."""

import io

import pyarrow as pa
import pyarrow.fs as filesystems
from pyarrow.fs import FileInfo, FileSelector, FileType

from mcq_jax.results import Storage


class ObjectStore(filesystems.FileSystemHandler):
    """What is written is there when, and only when, the upload is closed."""

    def __init__(self):
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []

    def storage(self, root: str = "bucket/run") -> Storage:
        return Storage(filesystems.PyFileSystem(self), root, path=f"mem://{root}")

    def get_type_name(self):
        return "objects"

    def normalize_path(self, path):
        return path

    def get_file_info(self, paths):
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: FileSelector):
        prefix = selector.base_dir.rstrip("/") + "/"
        below = [name for name in self.objects if name.startswith(prefix)]
        if not below and not selector.allow_not_found:
            raise FileNotFoundError(selector.base_dir)
        heads = {prefix + name[len(prefix) :].split("/")[0] for name in below}
        return [self._info(path) for path in heads]

    def open_input_file(self, path):
        if path not in self.objects:
            raise FileNotFoundError(path)
        return pa.PythonFile(io.BytesIO(self.objects[path]), mode="r")

    open_input_stream = open_input_file

    def open_output_stream(self, path, metadata):
        self.uploads.append(path)
        return pa.PythonFile(_Upload(self, path), mode="w")

    def _info(self, path):
        if path in self.objects:
            return FileInfo(path, FileType.File, size=len(self.objects[path]))
        is_folder = any(name.startswith(path + "/") for name in self.objects)
        return FileInfo(path, FileType.Directory if is_folder else FileType.NotFound)

    def _refuse(self, *_, **__):
        raise AssertionError("an object store can only put, get and list")

    open_append_stream = move = copy_file = create_dir = _refuse
    delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse


class _Upload(io.BytesIO):
    def __init__(self, store: ObjectStore, path: str):
        super().__init__()
        self._store, self._path = store, path

    def close(self):
        if not self.closed:
            self._store.objects[self._path] = self.getvalue()
        super().close()
