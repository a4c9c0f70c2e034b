"""Which operation of a layer takes how long?

    python -m benchmarks.layer_operations [--tokens 50 512] [--rounds 5]

The layer as it is really run, in a plain forward pass and in a sweep of every node of
one prompt (of which all rows run in all layers here, so that there is one program),
SmolLM2-135M's shape with random weights, float32: what the profiler saw of each of its
compiled operations. Milliseconds per layer are medians. Operations run side by side,
so that their sum is more than the layer takes. It tells where to look when
`plain_forward` or `peers` is slower than torch.
"""

import argparse
import gzip
import json
import pathlib
import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.shapes import SMOLLM2_135M, draw
from mcq_jax import passes, sweeps
from mcq_jax.model import forward
from mcq_jax.passes.resumed_pass import run_groups
from mcq_jax.planning.passes import one_call

# Operations that take less of a layer are left out.
_LEAST_SHARE = 0.003


def main() -> None:
    """Prints one table per pass and prompt length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[50, 512])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    parameters = draw(SMOLLM2_135M)
    for tokens in asked.tokens:
        jax.clear_caches()  # programs of other lengths have operations of like name
        _print_both(parameters, SMOLLM2_135M, tokens, asked.rounds)


def _print_both(parameters, config, tokens: int, rounds: int) -> None:
    ids = jax.random.randint(jax.random.key(1), (1, tokens), 0, config.vocabulary)

    def run_forward():
        return forward(parameters, ids, config=config).logits

    _print(f"forward, {tokens} tokens", "jit__run_layer", run_forward, rounds)
    start = passes.prefill(parameters, ids, np.array([tokens]), config=config)
    sources = jax.tree.map(lambda a: -a[:, :, None, None], start.nodes)
    plan = sweeps.every_node(config)

    def run_sweep():
        return run_groups(
            parameters, start, sources, *one_call(plan, len(plan.births)), config=config
        ).final

    title = f"sweep, {len(plan.births)} rows, {tokens} tokens"
    _print(title, "jit__advance", run_sweep, rounds)


def _print(title: str, program: str, run: Callable, rounds: int) -> None:
    jax.block_until_ready(run())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            for _ in range(rounds):
                jax.block_until_ready(run())
        spans = _spans(pathlib.Path(folder), program)
    medians = {name: statistics.median(each) / 1e3 for name, each in spans.items()}
    total = sum(medians.values())
    about = _descriptions(program)
    print(f"\n{title}: {total:.2f} ms of operations per layer, {len(medians)} of them")
    for name, ms in sorted(medians.items(), key=lambda item: -item[1]):
        if ms > _LEAST_SHARE * total:
            print(f"  {ms:7.3f}  {name:28.28s}  {about.get(name, '')}", flush=True)


def _spans(folder: pathlib.Path, program: str) -> dict[str, list[float]]:
    """Microseconds of each run of each operation of a program."""
    (path,) = folder.glob("**/perfetto_trace.json.gz")
    spans = defaultdict(list)
    for event in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]:
        details = event.get("args", {})
        if event.get("ph") == "X" and details.get("hlo_module") == program:
            spans[details["hlo_op"]].append(event["dur"])
    return spans


def _descriptions(program: str) -> dict[str, str]:
    """What each operation makes, and the line of ours that it comes from."""
    found = {}
    for executable in jax.devices()[0].client.live_executables():
        for module in executable.hlo_modules():
            if module.name != program:
                continue
            lines = re.findall(
                r"%?(\S+) = (\S+) \S+\((?:.*?op_name=\"([^\"]*)\")?", module.to_string()
            )
            for name, shape, source in lines:
                short = shape.split("{")[0]
                found[name] = f"{short:24s} {source.rsplit('/', 2)[-1]}"
    return found


if __name__ == "__main__":
    main()
