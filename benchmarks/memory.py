"""How near does the planner's memory come to what a sweep really takes?

    python -m benchmarks.memory

Every node of SmolLM2-135M's shape with random weights, in three sizes, each in a
process of its own: the formula that compiles nothing (`costs.chunk_bytes`, and the
parameters), what `sweeps.forecast` says, and the most anonymous memory of the process
above what it has without the parameters (but after a sweep of a tiny model, for what
jax itself takes). What the allocator keeps is in the last and in neither of the first.
Linux with glibc only.

Typical output: see benchmarks/README.md.
"""

import ctypes
import dataclasses
import pathlib
import subprocess
import sys
import threading
import time

import jax
import numpy as np

from benchmarks.shapes import SMOLLM2_135M, draw
from mcq_jax import costs, sweeps
from mcq_jax.prompts import TokenisedPrompt

COMMAND = [sys.executable, "-m", "benchmarks.memory"]
# Prompts at once, sources of each, tokens.
SIZES = ((4, 3, 512), (8, 3, 512), (8, 3, 1024))


def main() -> None:
    """Prints one row per size; with a size as arguments, measures that one."""
    if len(sys.argv) > 1:
        _measure(*map(int, sys.argv[1:]))
        return
    print(
        "prompts  sources  tokens  by formula GB  predicted GB  measured GB  "
        "predicted / measured"
    )
    for size in SIZES:
        subprocess.run([*COMMAND, *map(str, size)], check=True)


def _measure(prompts: int, sources: int, tokens: int) -> None:
    tiny = dataclasses.replace(SMOLLM2_135M, layers=2, vocabulary=128, neurons=64)
    _sweep(tiny, draw(tiny), 2, 1, 16)
    parameters = draw(SMOLLM2_135M)
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # drawing leaves memory to the allocator
    leaves = jax.tree.leaves(parameters)
    before = _anonymous_bytes() - sum(leaf.nbytes for leaf in leaves)
    highest, done = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(highest, done))
    watcher.start()
    predicted = _sweep(SMOLLM2_135M, parameters, prompts, sources, tokens).peak_bytes
    done.set()
    watcher.join()
    measured = highest[0] - before
    formula = sum(leaf.nbytes for leaf in leaves) + costs.chunk_bytes(
        SMOLLM2_135M,
        prompts=prompts,
        tokens=tokens,
        rows=prompts * sources * SMOLLM2_135M.layers * SMOLLM2_135M.nodes,
    )
    print(
        f"{prompts:7d}  {sources:7d}  {tokens:6d}  {formula / 1e9:13.2f}"
        f"  {predicted / 1e9:12.2f}  {measured / 1e9:11.2f}"
        f"  {predicted / measured:20.2f}",
        flush=True,
    )


def _sweep(config, parameters, prompts: int, sources: int, tokens: int):
    """Returns the estimate of a sweep that is then run."""
    asked = [_prompt(index, tokens) for index in range(prompts)]
    others = np.arange(prompts)[:, None] + 1 + np.arange(sources)
    patched_from = sweeps.Sources(
        kinds=tuple(f"source {index}" for index in range(sources)),
        index=others % prompts,
    )
    named = {"config": config, "prompts_at_once": prompts, "full_vocabulary": False}
    plan = sweeps.every_node(config)
    predicted = sweeps.forecast(parameters, asked, plan, patched_from, **named)
    effect = {"net": sweeps.net_effect}
    sweeps.sweep(parameters, asked, plan, patched_from, metrics=effect, **named)
    return predicted


def _prompt(index: int, tokens: int) -> TokenisedPrompt:
    generator = np.random.default_rng(index)
    return TokenisedPrompt(
        ids=generator.integers(128, size=tokens).astype(np.int32),
        spans=(),
        label_positions=np.full(4, -1),
        label_ids=np.full(4, -1),
        answer_ids=np.arange(4, dtype=np.int32),
        gold=index % 4,
        question=f"question {index}",
    )


def _watch(highest: list[int], done: threading.Event) -> None:
    while not done.is_set():
        highest[0] = max(highest[0], _anonymous_bytes())
        time.sleep(0.005)


def _anonymous_bytes() -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise OSError("this system does not say how much memory a process has.")


if __name__ == "__main__":
    main()
