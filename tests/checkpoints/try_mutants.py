"""Loads mutants, in a process of its own that has little memory to spare.

    python -m tests.checkpoints.try_mutants FOLDER PART [NAME]

Prints one line per mutant: what happened, and its name. FOLDER is scratch space. PART
`3/7` tries every seventh from the third on; NAME keeps those that it is in.
"""

import pathlib
import resource
import shutil
import signal
import sys
import tracemalloc

import jax
import numpy as np

from mcq_jax import checkpoints
from tests.checkpoints import files, mutants, test_load

MOST_MEMORY = 64 << 20
MOST_SECONDS = 20


def main() -> None:
    """Tries those that the arguments ask for."""
    folder = pathlib.Path(sys.argv[1]).resolve()
    weights = files.random_weights("llama")
    sources = write_sources(folder / "whole", weights)
    for source in sources.values():
        load(source)  # compiles what is compiled once
    shutil.copy(sources["single"] / "model.safetensors", folder / "outside.safetensors")
    limit_memory()
    opened = watch_files()
    part, parts = map(int, sys.argv[2].split("/"))
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    for mutant in mutants.mutants(sources)[part - 1 :: parts]:
        if wanted not in mutant.name:
            continue
        place = folder / "mutant"
        shutil.copytree(sources[mutant.source], place)
        mutant.apply(place)
        opened.clear()
        print(f"{outcome(place, weights, opened)}\t{mutant.name}", flush=True)
        shutil.rmtree(place)


def write_sources(folder: pathlib.Path, weights: dict) -> dict[str, pathlib.Path]:
    config = files.config("llama")
    folder.mkdir()
    single = files.write_folder(folder / "single", weights, config)
    (single / "tokenizer_config.json").write_text(
        '{"added_tokens_decoder": {"0": {"content": "<s>", "special": true}}, '
        '"bos_token": {"content": "<s>"}, "chat_template": [{"name": "default", '
        '"template": "hi"}], "eos_token": "<|im_end|>"}'
    )
    sharded = files.write_folder(folder / "sharded", weights, config, shards=2)
    (folder / "gguf").mkdir()
    files.write_gguf(folder / "gguf" / "m.gguf", weights, "llama")
    return {"single": single, "sharded": sharded, "gguf": folder / "gguf"}


def load(folder: pathlib.Path) -> checkpoints.Checkpoint:
    is_gguf = (folder / "m.gguf").exists()
    loaded = checkpoints.load(folder / "m.gguf" if is_gguf else folder, sizes=(1, 1))
    loaded.tokenizer.encode("A) apple\n")
    jax.block_until_ready(loaded.parameters)
    return loaded


def limit_memory() -> None:
    """An allocation beyond a gigabyte more than now fails."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    limit = now + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def watch_files() -> list[str]:
    """Returns a list that every file opened from Python is added to."""
    opened: list[str] = []

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            opened.append(str(pathlib.Path(str(arguments[0])).resolve()))

    sys.addaudithook(hook)
    return opened


def outcome(place: pathlib.Path, weights: dict, opened: list[str]) -> str:
    """Returns "refused" or "right", or what is wrong."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_SECONDS)
    tracemalloc.start()
    try:
        said = attempt(place, weights)
        _, highest = tracemalloc.get_traced_memory()
    except (Exception, SystemExit) as error:
        return f"WRONG {type(error).__name__}: {error}".replace("\n", " ")
    finally:
        signal.alarm(0)
        tracemalloc.stop()
    outside = [path for path in opened if "outside" in path]
    if outside:
        return f"WRONG read {outside[0]}"
    if highest > MOST_MEMORY:
        return f"WRONG took {highest >> 20} MB"
    return said


def attempt(place: pathlib.Path, weights: dict) -> str:
    try:
        loaded = load(place)
    except (checkpoints.CheckpointError, FileNotFoundError) as error:
        names_a_file = str(place) in str(error)
        return "refused" if names_a_file else f"WRONG does not say where: {error}"
    changed = [
        name
        for name, array in reread(place, weights).items()
        if not np.array_equal(array, weights[name], equal_nan=True)
    ]
    # At most the one tensor that was touched differs, and as it stands in the file.
    if len(changed) > 1:
        return f"WRONG numbers of {changed}"
    test_load.check_weights(loaded.parameters, reread(place, weights))
    return "right"


def reread(place: pathlib.Path, weights: dict) -> dict:
    """What another reader finds in the files."""
    if not (place / "m.gguf").exists():
        from safetensors.numpy import load_file

        found: dict = {}
        for file in place.glob("*.safetensors"):
            found |= load_file(file)
        return found
    import gguf

    reader = gguf.GGUFReader(place / "m.gguf")
    stored = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in reader.tensors
    }
    found = {name: stored[files.gguf_name(name)] for name in weights}
    return {name: as_published(name, array) for name, array in found.items()}


def as_published(name: str, array: np.ndarray) -> np.ndarray:
    """Undoes what `files.interleave` does to queries and keys."""
    if "q_proj" not in name and "k_proj" not in name:
        return array
    heads = array.reshape(-1, files.HEAD_WIDTH // 2, 2, files.WIDTH)
    return heads.swapaxes(1, 2).reshape(array.shape)


if __name__ == "__main__":
    main()
