"""Which rows advance together: those of like first position, in order of birth."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from mcq_jax.model.config import ModelConfig
from mcq_jax.sweeps.cost import layer_flops
from mcq_jax.sweeps.plans import Plan

# Rows join in at most so many steps, and those of different first position run in at
# most so many groups: more follow the patches closely, and compile longer.
STAGES = 10
# FLOPs that one more step has to be worth; small models are done before it compiles.
_WORTH_A_STAGE = 5e9


def stages_that_pay(plan: Plan, copies: int, config: ModelConfig) -> int:
    """Returns how many steps pay, for so many copies of the plan's rows."""
    tokens = copies * int(plan.starts.sum())
    work = tokens * config.layers * layer_flops(config, keys=0)
    return int(np.clip(work / _WORTH_A_STAGE, 1, STAGES))


def row_groups(
    plan: Plan, rows_at_once: int | None, most: int
) -> Iterator[tuple[int, Int[np.ndarray, " row"]]]:
    """Yields (suffix, rows): rows in order of birth that run over as many tokens."""
    starts = plan.starts
    lengths = np.unique(starts)
    if len(lengths) > most:
        lengths = np.quantile(starts, np.arange(1, most + 1) / most)
        lengths = np.unique(np.ceil(lengths).astype(int))
    group = np.searchsorted(lengths, starts)
    for index, suffix in enumerate(lengths):
        rows = np.flatnonzero(group == index)
        rows = rows[np.argsort(plan.births[rows], kind="stable")]
        if not len(rows):
            continue
        most_rows = len(rows)
        if rows_at_once is not None:
            most_rows = max(1, rows_at_once // int(suffix))
        for piece in np.array_split(rows, -(-len(rows) // most_rows)):
            yield int(suffix), piece
