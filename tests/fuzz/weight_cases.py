"""Weights in bfloat16 and int8, against the reference with weights rounded alike."""

import dataclasses
from collections.abc import Callable

import numpy as np

from mcq_jax import checkpoints
from tests.fuzz.comparing import Pairs
from tests.fuzz.drawing import Random
from tests.fuzz.precision import with_weights
from tests.fuzz.reference import Watched


def of_weights(run: Callable, rounded: Callable, **given) -> Callable:
    """Returns a kind of cases as `run`'s, of a checkpoint that is loaded otherwise.

    Args:
        rounded: what such a checkpoint makes of a tensor, by its name.
        given: what `load` is told.
    """

    def run_rounded(pair, watched: Watched, shape: Random, data: Random, folder):
        (folder / "edits.safetensors").unlink(missing_ok=True)  # of another case
        loaded = dataclasses.replace(pair, ours=checkpoints.load(folder, **given))
        asked, pairs = run(loaded, watched, shape, data, folder)

        def alike() -> Pairs:
            with with_weights(watched.model, rounded):
                yield from pairs()

        return f"{given} {asked}", alike

    return run_rounded


def to_bfloat16(name: str, tensor):
    """Every tensor but the gains of norms, which stay as they are."""
    is_norm = "norm" in name or "ln_" in name
    if is_norm and name.endswith("weight"):
        return tensor
    return tensor.bfloat16().to(tensor.dtype)


def to_int8(name: str, tensor):
    """The layers' matrices: 127 steps to the largest number of each output channel."""
    if tensor.ndim != 2 or not _is_of_layer(name):
        return tensor
    weight = tensor.float().numpy()
    channels = weight.T if _is_turned(name) else weight  # [output, input]
    step = np.abs(channels).max(axis=1, keepdims=True) / np.float32(127)
    kept = np.rint(channels / step) * step
    return tensor.new_tensor(kept.T if _is_turned(name) else kept)


def _is_of_layer(name: str) -> bool:
    return any(part.isdigit() for part in name.split("."))


def _is_turned(name: str) -> bool:
    """GPT-2's matrices lie the other way round."""
    return name.startswith("transformer.h.")
