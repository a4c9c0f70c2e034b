"""`write_whole`: a local file that is there whole or not at all, whatever happens.

It is written beside its place, forced to the disk and renamed. What processes left
there when they were killed, `remove_leftovers` removes.
"""

import contextlib
import errno
import os
import pathlib
import re
import secrets
import socket
from collections.abc import Iterator

_TO_DO = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room within your quota",
    errno.EFBIG: "Lift the limit on the size of files (ulimit -f)",
    errno.EACCES: "Give yourself the right to write there",
    errno.EPERM: "Give yourself the right to write there",
    errno.EROFS: "Make that disk writable",
}


def write_whole(target: pathlib.Path, content: bytes) -> None:
    """Writes a file, in place of one that is there.

    Raises:
        OSError: with a sentence on what to do; an earlier file is as it was.
    """
    # Hosts may share the disk, hence a name that no other process makes.
    own = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
    temporary = target.with_name(f"{target.name}.{own}.tmp")
    with told_what_to_do(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def told_what_to_do(target: str | os.PathLike) -> Iterator[None]:
    """Within it, an error of writing says of what file, and how to go on."""
    try:
        yield
    except OSError as error:
        to_do = _TO_DO.get(error.errno or 0, "Mend that")
        raise type(error)(
            f"cannot write {target}: {error.strerror or error}. {to_do}, and start the "
            "same command again: what was finished is kept. (A run's folder may also "
            "be moved; name its new place with --out.)"
        ) from error


def check_writable(folder: pathlib.Path) -> None:
    """Refuses a folder in which nothing can be written, and writes nothing itself."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(
            f"cannot write into {folder}: {there} is a file; name another folder."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(
            f"cannot write into {folder}: {there} may not be written to. Give yourself "
            "the right to, or name another folder."
        )


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes what processes of this machine had begun to write and were killed."""
    host = re.escape(socket.gethostname())
    temporary = re.compile(rf"\.{host}\.([0-9]+)\.[0-9a-f]{{8}}\.tmp$")
    for path in folder.rglob("*.tmp"):
        written_by = temporary.search(path.name)
        if written_by is not None and not _runs(int(written_by[1])):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether another process of this number is at work."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
