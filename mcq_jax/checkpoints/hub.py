"""Models named `org/name`: from the local Hugging Face cache, else downloaded."""

import pathlib
import re

from mcq_jax.checkpoints import safetensors

# What a model's folder is read from; not its other formats, nor folders inside it.
_WANTED = ("*.json", "*.safetensors", "*.jinja")
_UNWANTED = ("*/*", "consolidated*")


def is_name(path: str) -> bool:
    """Says whether this is spelled `org/name` or `org/name@revision`."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?", path) is not None


def fetch(name: str) -> pathlib.Path:
    """Returns the folder of the model; asks the network only for what is not there."""
    snapshot_download = _import_download()
    model, _, revision = name.partition("@")

    def folder(*, is_local: bool) -> pathlib.Path:
        found = snapshot_download(
            model,
            revision=revision or None,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
            local_files_only=is_local,
        )
        return pathlib.Path(found)

    try:
        cached = folder(is_local=True)
        if _is_whole(cached):
            return cached
    except FileNotFoundError:
        pass
    try:
        return folder(is_local=False)
    except Exception as error:  # those of several transport libraries, too
        raise FileNotFoundError(
            f"No model {name}: it is neither a local path nor in the Hugging Face "
            f"cache, and was not downloaded ({type(error).__name__}: {error}). Check "
            "the spelling and the connection (HF_HUB_OFFLINE, HF_TOKEN), or give a "
            "local path."
        ) from error


def _is_whole(folder: pathlib.Path) -> bool:
    """Other programs may have cached only some of the files."""
    if not all((folder / name).is_file() for name in ("config.json", "tokenizer.json")):
        return False
    try:
        return bool(safetensors.weight_files(folder))
    except FileNotFoundError:
        return False


def _import_download():
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            "Models named org/name are fetched by the huggingface_hub package, which "
            'is not installed; run `pip install "mcq-jax[hub]"`, or give a local path.'
        ) from error
    return snapshot_download
