"""How fast are a layer's products: in XLA as it is, in XLA otherwise, and in torch?

    python -m benchmarks.products [--rows 10 50 150 300 1200] [--rounds 15]

The products of a layer of SmolLM2-135M's shape, float32, one core, seconds of this
process alone, in turn. Products are most of what a sweep and a forward pass do, so this
is what both can reach on a CPU. XLA gives products to YNNPACK; told not to, it takes
Eigen, which reads weights better as `[in, out]` than as `[out, in]` (as checkpoints
hold them). The option that tells it is experimental and goes with the jax release.

Needs torch (the parity extra). Typical output: see benchmarks/README.md.
"""

import argparse
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.shapes import SMOLLM2_135M
from benchmarks.side_by_side import product_rate, race, use_cores

# Of what YNNPACK does by default, reductions only.
_EIGEN = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}

_WAYS = (
    "YNN [out, in]",
    "YNN [in, out]",
    "Eigen [out, in]",
    "Eigen [in, out]",
    "torch",
)


def main() -> None:
    """Prints one row per product and number of rows, GFLOP/s at the median."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10, 50, 150, 300, 1200])
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    use_cores(1)
    limits = product_rate(asked.rounds)
    print(
        ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in limits.items()), end=""
    )
    print(" GFLOP/s for a large product\n")
    width, neurons = SMOLLM2_135M.width, SMOLLM2_135M.neurons
    sizes = {
        "attention out": (width, width),
        "up": (width, neurons),
        "down": (neurons, width),
    }
    print(f"{'GFLOP/s':13}  rows" + "".join(f"{name:>16}" for name in _WAYS))
    for name, (inputs, outputs) in sizes.items():
        for rows in asked.rows:
            times = race(_contenders(rows, inputs, outputs), asked.rounds)
            flops = 2 * rows * inputs * outputs
            rates = "".join(f"{flops / t.median / 1e9:16.0f}" for t in times.values())
            print(f"{name:13}{rows:6}{rates}", flush=True)


def _contenders(rows: int, inputs: int, outputs: int) -> dict[str, Callable]:
    import torch

    generator = np.random.default_rng(0)
    x, weight = (
        generator.normal(size=size).astype(np.float32)
        for size in ((rows, inputs), (outputs, inputs))
    )

    def in_xla(equation: str, weight: np.ndarray, options) -> Callable:
        multiply = jax.jit(
            lambda x, weight: jnp.einsum(equation, x, weight, precision="highest"),
            compiler_options=options,
        )
        return functools.partial(multiply, jnp.asarray(x), jnp.asarray(weight))

    read = {"ri,oi->ro": weight, "ri,io->ro": np.ascontiguousarray(weight.T)}
    found = [
        in_xla(*one, options) for options in (None, _EIGEN) for one in read.items()
    ]
    theirs = torch.from_numpy(x), torch.from_numpy(weight)
    found.append(lambda: torch.nn.functional.linear(*theirs))
    return dict(zip(_WAYS, found, strict=True))


if __name__ == "__main__":
    main()
