"""What does the first sweep of a fresh process cost, and how much of it is compiling?

    python -m benchmarks.cold_sweeps [--plans position node unit span] [--repeats 3]

One prompt and its source, 14 tokens each, SmolLM2-135M's shape with random weights,
float32: every position of every layer's residual stream, every node, every head, and
every span. Each plan in two processes of its own: the first finds an empty folder of
compiled programs, the second what the first has left. Programs are those that were
compiled or read from the folder; seconds, those of all cores from Python's start,
without drawing the weights. Warm is the median of further sweeps in the same process.

Typical output: see benchmarks/README.md.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

TOKENS = 14
SPANS = {"question": 5, "options": 5, "end": 4}
PLANS = ("position", "node", "unit", "span")


def main() -> None:
    """Prints two rows per plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", choices=PLANS, nargs="+", default=PLANS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", choices=PLANS)
    parser.add_argument("--folder")
    asked = parser.parse_args()
    if asked.measure:
        _measure(asked.measure, asked.folder, asked.repeats)
        return
    print("plan      folder  programs  CPU s  wall s  warm CPU s  warm wall s")
    for plan in asked.plans:
        with tempfile.TemporaryDirectory() as folder:
            for _ in ("empty", "filled"):
                arguments = ["--measure", plan, "--folder", folder]
                arguments += ["--repeats", str(asked.repeats)]
                command = [sys.executable, "-m", "benchmarks.cold_sweeps", *arguments]
                subprocess.run(command, check=True)


def _measure(name: str, folder: str, repeats: int) -> None:
    import pathlib

    import jax

    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    state = "filled" if any(pathlib.Path(folder).iterdir()) else "empty"
    programs = [0]

    def note(event: str, *_, **__) -> None:
        programs[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(note)
    from benchmarks.shapes import SMOLLM2_135M, draw

    before = _clocks()
    parameters = draw(SMOLLM2_135M)
    drawing = [now - then for now, then in zip(_clocks(), before, strict=True)]
    run = _sweep(name, SMOLLM2_135M, parameters)
    begun = time.perf_counter()
    run()
    cold = time.process_time() - drawing[0], time.perf_counter() - begun
    compiled = programs[0]
    warm = []
    for _ in range(repeats):
        before = _clocks()
        run()
        warm.append([now - then for now, then in zip(_clocks(), before, strict=True)])
    cpu, wall = (statistics.median(each) for each in zip(*warm, strict=True))
    print(
        f"{name:8s}  {state:6s}  {compiled:8d}  {cold[0]:5.1f}  {cold[1]:6.1f}  "
        f"{cpu:10.2f}  {wall:11.2f}",
        flush=True,
    )


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _sweep(name: str, config, parameters):
    """Returns the sweep of one plan, as a function."""
    import numpy as np

    from mcq_jax import Site, sweeps
    from mcq_jax.prompts import TokenisedPrompt

    def prompt(index: int) -> TokenisedPrompt:
        generator = np.random.default_rng(index)
        return TokenisedPrompt(
            ids=generator.integers(config.vocabulary, size=TOKENS).astype(np.int32),
            spans=(),
            label_positions=np.full(4, -1),
            label_ids=np.full(4, -1),
            answer_ids=np.arange(4, dtype=np.int32),
            gold=index,
            question=f"question {index}",
        )

    asked, sources = [prompt(0), prompt(1)], sweeps.Sources.of_pairs(1)
    site, lengths = Site.RESID_PRE, np.array([TOKENS] * 2)
    ends = np.cumsum([0, *SPANS.values()])
    spans = {
        each: np.tile(np.arange(first, last), (2, 1))
        for each, first, last in zip(SPANS, ends, ends[1:], strict=False)
    }
    plan = {
        "position": lambda: sweeps.every_position(site, config, tokens=TOKENS),
        "node": lambda: sweeps.every_node(config),
        "unit": lambda: sweeps.every_unit(Site.Z, config),
        "span": lambda: sweeps.every_span(site, spans, lengths, config),
    }[name]()
    return lambda: sweeps.sweep(parameters, asked, plan, sources, config=config)


if __name__ == "__main__":
    main()
