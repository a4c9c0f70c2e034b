"""A plan as text."""

import math
from collections.abc import Sequence

from mcq_jax.planning.chips import Chip
from mcq_jax.planning.of_run import Listed
from mcq_jax.planning.plan import Plan, Sweep
from mcq_jax.planning.roofline import PassCost

_GB = 1e9


def describe(plan: Plan, sweep: Sweep, chip: Chip) -> str:
    """Returns everything that was found, in the order in which one would ask."""
    rows = [
        f"{plan.chips} chip{'s' * (plan.chips > 1)} {chip.name}, mesh {plan.mesh}, "
        f"{sweep.tokens} tokens",
        "",
        *_memory(plan, chip),
        "",
        *_pass(
            "prompt pass of a chunk",
            plan.prompt_pass,
            f"{plan.prompt_pass_flops_ratio:.3f} of the formula",
        ),
        *_pass(
            "patching a chunk",
            plan.patching,
            f"{plan.patching_flops_ratio:.3f} of the formula, "
            f"{plan.staged_flops_ratio:.3f} with rows that join in steps",
        ),
        "",
        f"the sweep: {sweep.prompts} prompts x {sweep.sources} sources x every node",
        f"  at the roofline        {duration(plan.seconds)}, "
        f"{plan.chip_hours:.1f} chip-hours",
        f"  a full pass per patch  {duration(plan.seconds_without_engine)}",
    ]
    return "\n".join(rows)


def describe_listed(path: str, experiments: Sequence[Listed]) -> str:
    """Returns what the experiments of a run would take, one to a line, and in all."""
    whole = Listed(
        experiment="in all",
        as_many_rows=sum(one.as_many_rows for one in experiments),
        rows_by_node=sum(one.rows_by_node for one in experiments),
        as_full_passes=sum(one.as_full_passes for one in experiments),
    )
    table = [("experiment", "with as many rows", "rows by node", "as full passes")]
    table += [
        (
            one.experiment.replace("_", " "),
            duration(one.as_many_rows),
            duration(one.rows_by_node),
            duration(one.as_full_passes),
        )
        for one in (*experiments, whole)
    ]
    lines = ["  ".join(f"{cell:<18}" for cell in row).rstrip() for row in table]
    said = f"the experiments of {path}, here, at the speeds of the sweep above:"
    return "\n".join(["", said, *(f"  {line}" for line in lines)])


def _memory(plan: Plan, chip: Chip) -> list[str]:
    parts = {
        "parameters": plan.memory.parameters,
        "keys and values": plan.memory.keys_and_values,
        "rows": plan.memory.rows,
        "all else": plan.memory.rest,
    }
    return [
        _fitting(plan),
        *(f"  {name:<16} {size / _GB:7.2f} GB" for name, size in parts.items()),
        f"  {'of a chip':<16} {plan.memory.total / _GB:7.2f} GB of {_of(chip)}",
    ]


def _of(chip: Chip) -> str:
    known = math.isfinite(chip.memory)
    return f"{chip.memory / _GB:.2f} GB" if known else "what this machine does not say"


def _fitting(plan: Plan) -> str:
    if plan.next_chunk is None:
        return f"this chunk fits: {plan.chunk}"
    following = "does not compile"
    if plan.next_bytes is not None:
        following = f"would need {plan.next_bytes / _GB:.1f} GB"
    return f"largest chunk that fits: {plan.chunk} ({plan.next_chunk} {following})"


def _pass(name: str, cost: PassCost, formula: str) -> list[str]:
    return [
        f"{name}: {duration(cost.seconds)}, limited by {cost.limit}",
        f"  held up by compute {cost.compute_bound:.2f} s, by memory "
        f"{cost.memory_bound:.2f} s, by links {cost.link_bound:.2f} s",
        f"  a chip: {cost.flops:.3g} FLOPs ({formula}), "
        f"{cost.bytes / _GB:.0f} GB of memory traffic",
        *(
            f"  {e.kind}: {e.count} of {e.bytes / _GB:.2f} GB in all"
            for e in cost.exchanges
        ),
    ]


def duration(seconds: float) -> str:
    """Returns a time a person can read."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2f} s"
