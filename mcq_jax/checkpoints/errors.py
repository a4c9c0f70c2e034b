"""`CheckpointError`: what every refusal of a checkpoint's contents is."""

import contextlib
import pathlib
from collections.abc import Iterator


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded faithfully; the message names the file."""


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
    """Turns a ValueError inside the block into one that names the file."""
    try:
        yield
    except CheckpointError:
        raise
    except ValueError as error:
        said = str(error)
        where = "" if str(path) in said else f"{path}: "
        raise CheckpointError(f"{where}{said}") from error
