"""Does compile time grow with depth, and how long is it to a first result?

    python -m benchmarks.compile_time [--layers 5 80]

Layers of SmolLM2-135M's shape, a fourth as wide, random weights. For each depth, in
a process of its own and without a cache of compiled programs: seconds that jax spends
on tracing and compiling the forward pass, the prompt pass and the sweep over every node
(rows join in four steps at either depth), with all layers in one stack (scanned, as on
accelerators) and layer by layer (as on CPUs); and the seconds from starting Python to
the first patched answers.

Typical output: see benchmarks/README.md.
"""

import argparse
import subprocess
import sys
import time

BEGUN = time.perf_counter()


def main() -> None:
    """Prints one row per depth and way of storing layers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, nargs="+", default=[5, 80])
    parser.add_argument("--measure", type=int)
    parser.add_argument("--stacked", action="store_true")
    asked = parser.parse_args()
    if asked.measure:
        _measure(asked.measure, asked.stacked)
        return
    print(
        "layers  stored        compile s: forward  prompt pass  sweep  first result s"
    )
    for stacked in (["--stacked"], []):
        for layers in asked.layers:
            measure = ["--measure", str(layers), *stacked]
            command = [sys.executable, "-m", "benchmarks.compile_time", *measure]
            subprocess.run(command, check=True)


def _measure(layers: int, stacked: bool) -> None:
    import jax
    import numpy as np

    from benchmarks.shapes import draw
    from mcq_jax import passes, sweeps
    from mcq_jax.model import ModelConfig, forward

    spent: list[float] = []

    def note(event: str, seconds: float, **_) -> None:
        if event.startswith("/jax/core/compile/"):
            spent.append(seconds)

    config = ModelConfig(
        layers=layers, width=144, kv_heads=3, group=3, head_width=16, neurons=384,
        vocabulary=4096, context=8192, rotary_width=16,
    )  # fmt: skip
    sizes = [layers] if stacked else [1] * layers
    parameters = draw(config, sizes)
    jax.monitoring.register_event_duration_secs_listener(note)
    ids, lengths = np.ones((2, 64), np.int32), np.array([64, 64])
    answers = np.arange(8).reshape(2, 4)
    seconds = []

    def timed(run):
        spent.clear()
        found = jax.block_until_ready(run())
        seconds.append(sum(spent))
        return found

    start = timed(lambda: passes.prefill(parameters, ids, lengths, config=config))
    sources = jax.tree.map(lambda a: a[:, ::-1, None, None], start.nodes)
    final = timed(
        lambda: passes.resume(
            parameters, start, sources, sweeps.every_node(config), config=config,
        ).final
    )  # fmt: skip
    read = passes.read_answers(parameters.unembedding, final, answers, config=config)
    jax.block_until_ready(read)
    first = time.perf_counter() - BEGUN
    timed(lambda: forward(parameters, ids, config=config).logits)
    prompt_pass, sweep, plain = seconds
    stored = "one stack" if stacked else "one by one"
    print(
        f"{layers:6d}  {stored:10s}  {plain:18.2f}  {prompt_pass:11.2f}  {sweep:5.2f}"
        f"  {first:14.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
