"""What do patches at earlier positions cost, beside what they change?

    python -m benchmarks.position_sweep [--layers 6] [--tokens 128] [--repeats 3]

The residual stream of one prompt patched in every layer at every position, and in every
layer over each of ten spans; SmolLM2-135M's shape with fewer layers and random weights.
A patch in layer l of L at position p of T changes (L - l) (T - p) tokens of layers, and
a forward pass is L T of them: their ratio is the limit, in forward passes. Timed side
by side in one process, compilation excluded.

Typical output: see benchmarks/README.md.
"""

import argparse
import dataclasses

import jax
import numpy as np

from benchmarks.shapes import SMOLLM2_135M, draw
from benchmarks.side_by_side import race
from mcq_jax import Site, passes, sweeps
from mcq_jax.costs.formulas import layer_flops, prefill_flops

SPANS = 10


def main() -> None:
    """Prints one row per plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    config = dataclasses.replace(SMOLLM2_135M, layers=asked.layers)
    tokens, lengths = asked.tokens, np.array([asked.tokens] * 2)
    edges = np.linspace(tokens // 4, tokens, SPANS + 1).astype(int)
    spans = {
        f"span {i}": np.tile(np.arange(edges[i], edges[i + 1])[:6], (2, 1))
        for i in range(SPANS)
    }
    site = Site.RESID_PRE
    plans = {
        "every position": sweeps.every_position(site, config, tokens=tokens),
        "ten spans": sweeps.every_span(site, spans, lengths, config).of(np.array([0])),
    }
    parameters = draw(config)
    ids = jax.random.randint(jax.random.key(1), (2, tokens), 0, config.vocabulary)
    print("plan            rows  forward s  sweep s  sweep/forward  limit  x limit")
    for name, plan in plans.items():
        forward_s, sweep_s = _measure(parameters, config, plan, ids, asked.repeats)
        ratio, limit = sweep_s / forward_s, _limit(config, plan, tokens)
        print(
            f"{name:14s}  {len(plan.births):4d}  {forward_s:9.3f}  {sweep_s:7.2f}  "
            f"{ratio:13.1f}  {limit:5.1f}  {ratio / limit:7.2f}",
            flush=True,
        )


def _limit(config, plan, tokens: int) -> float:
    """FLOPs of what the patches change, in those of a forward pass."""
    changed = (plan.starts * (config.layers - plan.births)).sum()
    keys = tokens - plan.starts.mean() / 2  # of a mean query
    flops = changed * layer_flops(config, keys=int(keys))
    return flops / prefill_flops(config, tokens=tokens)


def _measure(parameters, config, plan, ids, repeats: int) -> tuple[float, float]:
    """Medians of a pass over the prompt and of the sweep after it."""
    tokens = ids.shape[1]
    lengths = np.array([tokens] * 2)
    kept = {"config": config, "suffix": plan.suffix, "sites": plan.sites}
    both = passes.prefill(parameters, ids, lengths, **kept)
    sources = both.activations[plan.site][:, 1:, None]
    start = passes.prefill(parameters, ids[:1], lengths[:1], **kept)

    def run_prompt():
        return passes.prefill(parameters, ids[:1], lengths[:1], config=config)

    def run_sweep():
        return passes.resume(parameters, start, sources, plan, config=config).final

    times = race({"prompt": run_prompt, "sweep": run_sweep}, repeats)
    return times["prompt"].median, times["sweep"].median


if __name__ == "__main__":
    main()
