"""Links that lead out of a checkpoint's folder are not followed."""

import os
import pathlib

from mcq_jax.checkpoints.errors import CheckpointError


def check_links(folder: pathlib.Path) -> None:
    """Raises CheckpointError if a file that may be read is a link to elsewhere.

    The Hugging Face cache keeps contents in `blobs/` beside `snapshots/`; links from a
    snapshot to there stay inside the model's own folder and are fine.
    """
    folder = pathlib.Path(os.path.realpath(folder))
    home = folder
    if folder.parent.name == "snapshots" and (folder.parent.parent / "blobs").is_dir():
        home = folder.parent.parent
    for file in sorted(folder.iterdir()):
        if not file.is_symlink() or file.suffix not in _READ:
            continue
        target = pathlib.Path(os.path.realpath(file))
        if not target.is_relative_to(home):
            raise CheckpointError(
                f"{file} is a link out of its folder, to {target}; put a copy there, "
                "or give the folder that the file lies in."
            )


_READ = (".json", ".safetensors", ".jinja")
