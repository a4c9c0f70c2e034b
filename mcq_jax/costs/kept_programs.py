"""`keep_compiled_programs`: what is compiled once is read from disk later."""

import os
import pathlib

import jax
from jax.experimental.compilation_cache import compilation_cache

_FOLDER = pathlib.Path("~/.cache/mcq_jax/compiled")


def keep_compiled_programs(folder: str | os.PathLike | None = None) -> pathlib.Path:
    """Keeps compiled programs on disk, for this process and later ones; returns where.

    All programs are kept: jax by itself skips those that compile within a second, which
    most of a sweep's do. It may be called at any time. Deleting the folder is safe.

    Args:
        folder: by default where jax was told to (`JAX_COMPILATION_CACHE_DIR`), else in
            the user's cache, `~/.cache/mcq_jax/compiled`.
    """
    told = jax.config.values["jax_compilation_cache_dir"]
    chosen = folder or told or _FOLDER
    path = pathlib.Path(chosen).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()  # which else stays as the first program found it
    return path
