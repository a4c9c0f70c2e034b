"""How long does our plain forward pass take beside PyTorch's, on the same weights?

    python -m benchmarks.plain_forward [--gguf MODEL.gguf] [--tokens 50 150 512]

SmolLM2-135M's shape with random weights, or a published checkpoint; float32, one
prompt. Ours against `transformers`, and against the same layers written in plain torch
for speed: with logits of all positions, and with those of the last. GFLOP/s stand
beside those of one large matrix product of each framework: the limit. With `--cores 1`
times are CPU seconds, which other programs on the machine hardly change. Needs the
peers extra.

Typical output: see benchmarks/README.md.
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.peers import models, torch_layers
from benchmarks.side_by_side import Times, product_rate, race, use_cores
from mcq_jax.costs import prefill_flops
from mcq_jax.costs.formulas import unembed_flops
from mcq_jax.model import forward
from mcq_jax.passes import answer_prompts, prefill

# Of the largest logit: all compute in float32, and add in other orders.
TOLERANCE = 1e-3


def main() -> None:
    """Prints one table per prompt length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--layers", type=int, help="only the first so many")
    parser.add_argument("--tokens", type=int, nargs="+", default=[50, 150, 512])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    asked = parser.parse_args()
    use_cores(asked.cores)
    twins = models.from_gguf(asked.gguf) if asked.gguf else models.smollm2_shape()
    if asked.layers:
        twins = twins.first_layers(asked.layers)
    for name, rate in product_rate(asked.rounds).items():
        print(f"{name}, a large matrix product: {rate / 1e9:.0f} GFLOP/s")
    weights = torch_layers.fuse(twins.torch_model)
    for tokens in asked.tokens:
        _print_passes(twins, weights, tokens, asked.rounds)


def _print_passes(twins, weights, tokens: int, rounds: int) -> None:
    ids = np.random.default_rng(1).integers(0, twins.config.vocabulary, (1, tokens))
    whole, last = _contenders(twins, weights, ids)
    _check(whole)
    flops = prefill_flops(twins.config, tokens=tokens)
    unembedding = tokens * unembed_flops(twins.config)
    times = race(whole | last, rounds)
    print(f"\n{twins.name}, {twins.config.layers} layers, {tokens} tokens")
    print("                               median s   best s  spread  / torch   GFLOP/s")
    _print_rows({name: times[name] for name in whole}, flops + unembedding)
    _print_rows({name: times[name] for name in last}, flops)


def _print_rows(times: dict[str, Times], flops: float) -> None:
    """Ratios are to the fastest torch program in the group, medians and best rounds."""
    torches = [t for name, t in times.items() if not name.startswith("ours")]
    median, best = (min(getattr(t, k) for t in torches) for k in ("median", "best"))
    for name, t in times.items():
        rate = flops / t.best / 1e9
        print(
            f"  {name:28s} {t.median:8.3f} {t.best:8.3f} {t.spread:6.0%}  "
            f"{t.median / median:4.2f} {t.best / best:4.2f}  {rate:6.0f}",
            flush=True,
        )


def _contenders(twins, weights, ids):
    """Two groups: logits of all positions, and of the last one."""
    config, parameters, model = twins.config, twins.parameters, twins.torch_model
    tokens, theirs = jnp.asarray(ids), torch.from_numpy(ids)
    lengths, answers = np.array([ids.shape[1]]), np.arange(4)[None]

    def theirs_of(kept: int):
        with torch.inference_mode():
            return model(theirs, use_cache=False, logits_to_keep=kept).logits

    whole = {
        "ours, logits": lambda: _ready(
            forward(parameters, tokens, config=config).logits
        ),
        "transformers, logits": lambda: theirs_of(0),
        "torch layers, logits": lambda: torch_layers.run_logits(weights, theirs),
    }
    last = {
        "ours, last logits": lambda: _ready(
            answer_prompts(parameters, tokens, lengths, answers, config=config)
        ),
        "ours, prefill": lambda: _ready(
            prefill(parameters, tokens, lengths, config=config)
        ),
        "transformers, last logits": lambda: theirs_of(1),
        "torch layers, last logits": lambda: torch_layers.run_logits(
            weights, theirs, kept=1
        ),
    }
    return whole, last


def _ready(x):
    return jax.block_until_ready(x)


def _check(contenders) -> None:
    """All give the same logits."""
    (first, *others) = (np.asarray(run()) for run in contenders.values())
    for name, other in zip(list(contenders)[1:], others, strict=True):
        error = abs(other - first).max() / abs(first).max()
        assert error < TOLERANCE, f"{name} is off by {error:.1e} of the largest logit"


if __name__ == "__main__":
    main()
