"""`CheckpointError`: what every refusal of a checkpoint's contents is."""

import contextlib
import pathlib
from collections.abc import Iterator


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded faithfully; the message names the file."""


class TensorError(ValueError):
    """A tensor whose numbers cannot be loaded; the message does not name the file."""


@contextlib.contextmanager
def naming(path: pathlib.Path, only: type[ValueError] = ValueError) -> Iterator[None]:
    """Turns a ValueError inside the block into one that names the file.

    Args:
        only: others pass as they are: those of what the caller asked for.
    """
    try:
        yield
    except CheckpointError:
        raise
    except only as error:
        said = str(error)
        where = "" if str(path) in said else f"{path}: "
        raise CheckpointError(f"{where}{said}") from error
