"""Checks that contenders agree, and prints what they took beside the limits."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax

from benchmarks.peers.task import Contender, Task
from benchmarks.side_by_side import Times
from mcq_jax.costs import node_sweep_flops, prefill_flops
from mcq_jax.costs.formulas import unembed_flops

# Of the largest answer logit: all compute in float32, and add in other orders.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Rates:
    """What the machine gives at best."""

    flops: float  # per second, of a large matrix product
    bytes: float  # per second, of a plain read


def check_answers(task: Task, contenders: Sequence[Contender]) -> None:
    """Refuses to time a contender that does not give the first one's answers."""
    expected = contenders[0].sweep()
    scale = abs(expected).max()
    moved = abs(expected - expected.mean(1, keepdims=True)).max()
    assert moved > 10 * TOLERANCE * scale, "the patches hardly move the answers"
    for contender in contenders[1:]:
        rows = [task.nodes.index(node) for node in contender.nodes]
        found = contender.sweep()
        error = abs(found - expected[: contender.prompts, rows]).max() / scale
        assert error < TOLERANCE, f"{contender.name} is off by {error:.1e} of the scale"


def print_table(
    task: Task,
    contenders: Sequence[Contender],
    times: Mapping[str, Times],
    rates: Rates,
) -> None:
    """One row per contender; ratios are to ours, the first."""
    prompts, tokens = task.ids.shape
    print(
        f"\n{task.twins.name}, {prompts} prompt{'s' * (prompts > 1)} of {tokens} "
        f"tokens, {len(task.nodes)} patches each"
    )
    print(
        "                        patches  marginal s   x ours  end to end s   x ours"
        "  spread"
    )
    totals = {c.name: _totals(c, task, times) for c in contenders}
    for contender in contenders:
        print(_row(contender, contenders[0], totals, times), flush=True)
    _print_limits(task, rates)
    _print_headline(contenders, totals)


def _row(contender, ours, totals, times: Mapping[str, Times]) -> str:
    marginal, whole = totals[contender.name]
    first, first_whole = totals[ours.name]
    timed = contender.prompts * len(contender.nodes)
    ratio, ratio_whole = _times(marginal / first), _times(whole / first_whole)
    return (
        f"  {contender.name:20s} {timed:8d}  {marginal:10.3f} {ratio}"
        f"  {whole:12.3f} {ratio_whole}  {times[contender.name].spread:6.0%}"
    )


def _totals(contender: Contender, task: Task, times) -> tuple[float, float]:
    """Seconds of the whole task, without and with the prompts' own pass."""
    marginal = times[contender.name].median * contender.scale(task)
    own = times.get(f"{contender.name}, prompts")
    return marginal, marginal + (own.median if own else 0.0)


def _print_limits(task: Task, rates: Rates) -> None:
    """The sweep's FLOPs and bytes, and how long the machine needs for either."""
    config, (prompts, tokens) = task.twins.config, task.ids.shape
    unembedded = prompts * len(task.nodes) * unembed_flops(config)
    sweep = prompts * node_sweep_flops(config, tokens=tokens, sources=1) - unembedded
    whole = sweep + prompts * prefill_flops(config, tokens=tokens)
    weights = sum(a.size for a in jax.tree.leaves(task.twins.parameters.layers))
    cache = 2 * prompts * tokens * config.layers * config.kv_heads * config.head_width
    read = 4 * (weights + cache)
    print(
        f"  limits: {sweep / 1e9:.1f} GFLOP at {rates.flops / 1e9:.0f} GFLOP/s = "
        f"{sweep / rates.flops:.3f} s; {read / 1e9:.2f} GB at "
        f"{rates.bytes / 1e9:.1f} GB/s = {read / rates.bytes:.3f} s; end to end "
        f"{whole / 1e9:.1f} GFLOP = {whole / rates.flops:.3f} s"
    )


def _print_headline(contenders: Sequence[Contender], totals) -> None:
    """Both ratios: against what people use, and against the best they could write."""
    words = {"use": "what people use", "best": "the best they could write"}
    first = totals[contenders[0].name]
    for rival, words_of in words.items():
        names = [c.name for c in contenders if c.rival == rival]
        if not names:
            continue
        fastest = min(names, key=lambda name: totals[name])
        marginal, whole = (a / b for a, b in zip(totals[fastest], first, strict=True))
        print(
            f"  against {words_of} ({fastest}): {_times(marginal).strip()} marginal, "
            f"{_times(whole).strip()} end to end"
        )


def _times(ratio: float) -> str:
    digits = 0 if ratio >= 100 else 1 if ratio >= 10 else 2
    return f"{ratio:7.{digits}f}x"
