"""What does patching every node at the answer position cost, in forward passes?

    python -m benchmarks.node_sweep [--shape 135M] [--tokens 50 150 512] [--repeats 5]

One prompt, one source, every head and feed-forward block of a model with random weights
and the shape of SmolLM2-135M, or of Qwen2.5-Coder-1.5B (1.5B: 11 GB of memory). Timed
side by side in one process: our forward pass (which keeps keys and values), the resumed
sweep that starts from it, and full forward passes with the same patch (a few of them,
for the price of one). Beside the measured marginal cost stands the FLOP limit
n (L + 1) / (2 T) of n nodes per layer, L layers, T tokens; the unembedding of the
answers is left out on both sides.

Typical output: see benchmarks/README.md.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.shapes import QWEN_1_5B, SMOLLM2_135M, draw
from benchmarks.side_by_side import race
from mcq_jax import passes, sweeps
from mcq_jax.interventions import Site, patch
from mcq_jax.model import forward

_SHAPES = {"135M": SMOLLM2_135M, "1.5B": QWEN_1_5B}


def main() -> None:
    """Prints one row per prompt length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=_SHAPES, default="135M")
    parser.add_argument("--tokens", type=int, nargs="+", default=[50, 150, 512])
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    config = _SHAPES[asked.shape]
    parameters = draw(config)
    print("tokens  forward s  sweep s  sweep/forward  limit  x limit  full/sweep")
    for tokens in asked.tokens:
        forward_s, sweep_s, one_full_s = _measure(
            parameters, config, tokens, asked.repeats
        )
        limit = config.nodes * (config.layers + 1) / (2 * tokens)
        ratio = sweep_s / forward_s
        by_full = one_full_s * config.layers * config.nodes / sweep_s
        print(
            f"{tokens:6d}  {forward_s:9.3f}  {sweep_s:7.3f}  {ratio:13.2f}  "
            f"{limit:5.2f}  {ratio / limit:7.2f}  {by_full:9.0f}x",
            flush=True,
        )


def _measure(parameters, config, tokens: int, repeats: int):
    """Medians of: a pass over the prompt, the sweep after it, one patched full pass."""
    ids = jax.random.randint(jax.random.key(1), (2, tokens), 0, config.vocabulary)
    lengths = np.array([tokens, tokens])
    bank = passes.prefill(parameters, ids, lengths, config=config)
    sources = jax.tree.map(lambda a: a[:, 1:, None], bank.nodes)
    node_sets = sweeps.every_node(config)
    value = sources.mlp[:, :, 0][:, :, None]

    def run_prompt():
        return passes.prefill(parameters, ids[:1], lengths[:1], config=config)

    start = run_prompt()

    def run_sweep():  # rows join as in a sweep of many prompts
        return passes.resume(
            parameters, start, sources, node_sets, config=config, repeats=50
        ).final

    def run_full():
        edit = patch(
            Site.MLP_OUT, value[3:4], layers=[3], positions=jnp.array([[tokens - 1]])
        )
        return forward(parameters, ids[:1], [edit], config=config).logits

    contenders = {"prompt": run_prompt, "sweep": run_sweep, "full": run_full}
    return tuple(times.median for times in race(contenders, repeats).values())


if __name__ == "__main__":
    main()
