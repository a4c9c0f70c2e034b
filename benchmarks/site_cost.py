"""What do sites cost where nothing is asked of them, and what does one patch cost?

    python -m benchmarks.site_cost [--tokens 128] [--repeats 9]

One SmolLM2-135M-shaped layer stack, compiled three times and timed in turn: as it is,
with every site stripped out (a tap that returns what it is given), and with one patch
of one head. Beside the times stand the compiled programs' temporary bytes and FLOPs:
where these are equal, so is the work. Last, seconds from `import` to the first
captured activation in a fresh process.

Typical output: see benchmarks/README.md.
"""

import argparse
import functools
import subprocess
import sys
import time
from unittest import mock

import jax
import jax.numpy as jnp

from benchmarks.shapes import SMOLLM2_135M
from benchmarks.side_by_side import race
from mcq_jax.interventions import Site, patch
from mcq_jax.model import forward, initialise, transformer


class Stripped:
    """A tap that does nothing, not even pin the rounding."""

    edits = ()

    def __init__(self, edits, capture, layer=0):
        self.layer = jnp.int32(layer)
        self.captured = []

    def __call__(self, site, x):
        return x

    def names(self, site):
        return False


FIRST_ACTIVATION = """
import jax
from mcq_jax import ModelConfig, Site, forward
from mcq_jax.model import initialise
config = ModelConfig(layers=2, width=64, kv_heads=2, group=2, head_width=16,
                     neurons=128, vocabulary=100, context=64, rotary_width=16)
tokens = jax.numpy.zeros((1, 8), int)
seen = forward(initialise(config, jax.random.key(0)), tokens, config=config,
               capture=[Site.Z]).activations
print(seen[Site.Z].shape)
"""


def main() -> None:
    """Prints one row per program and element type, then the first-use time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    print("dtype     program   seconds  x stripped  temporary MB  GFLOP")
    for dtype in (jnp.float32, jnp.bfloat16):
        _compare(jnp.dtype(dtype), asked.tokens, asked.repeats)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_ACTIVATION], check=True)
    print(f"import to first activation: {time.perf_counter() - begun:.1f} s")


def _compare(dtype, tokens: int, repeats: int) -> None:
    config = SMOLLM2_135M
    sizes = (1,) * config.layers
    parameters = initialise(config, jax.random.key(0), sizes=sizes)
    parameters = jax.tree.map(lambda w: w.astype(dtype), parameters)
    ids = jax.random.randint(jax.random.key(1), (1, tokens), 0, config.vocabulary)
    edit = patch(Site.Z, 0.0, layers=[3], heads=[2], positions=jnp.array([tokens - 1]))

    def program(edits):
        run = jax.jit(lambda p, t, e: forward(p, t, e, config=config).logits)
        return run.lower(parameters, ids, edits).compile()

    with mock.patch.object(transformer, "Tap", Stripped):
        jax.clear_caches()
        programs = {"stripped": (program(()), ())}
    jax.clear_caches()
    programs |= {
        "as it is": (program(()), ()),
        "one patch": (program((edit,)), (edit,)),
    }
    contenders = {
        name: functools.partial(run, parameters, ids, edits)
        for name, (run, edits) in programs.items()
    }
    medians = {name: times.median for name, times in race(contenders, repeats).items()}
    for name, (run, _) in programs.items():
        memory, cost = run.memory_analysis(), run.cost_analysis()
        assert memory is not None and cost is not None
        temporary = memory.temp_size_in_bytes / 1e6
        flops = cost["flops"] / 1e9
        print(
            f"{dtype.name:9s} {name:9s} {medians[name]:7.3f} "
            f"{medians[name] / medians['stripped']:11.3f} {temporary:13.2f} "
            f"{flops:6.2f}"
        )


if __name__ == "__main__":
    main()
