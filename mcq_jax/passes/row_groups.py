"""Which rows advance together: those of like first position, in order of birth."""

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Int

from mcq_jax.costs.formulas import layer_flops
from mcq_jax.model.config import ModelConfig
from mcq_jax.passes.plans import Plan

# Rows join in at most so many steps, and those of different first position run in at
# most so many groups: more follow the patches closely, and compile longer.
STAGES = 10
# FLOPs that one more step has to save; small models are done before it compiles.
_WORTH_A_STAGE = 5e8


def stages_that_pay(plan: Plan, copies: int, config: ModelConfig) -> int:
    """Returns how many steps pay, for so many copies of the plan's rows in all.

    With n steps about one part in n of the work is done for rows that are not born
    yet, so that the n-th saves work / n^2. On CPUs, where a program compiles in less
    than a second, rows of one first position may join in every layer.
    """
    tokens = copies * int(plan.starts.sum())
    work = tokens * config.layers * layer_flops(config, keys=0)
    is_one_group = len(np.unique(plan.starts)) == 1
    by_layer = is_one_group and jax.default_backend() == "cpu"
    most = config.layers if by_layer else STAGES
    return int(np.clip(np.sqrt(work / _WORTH_A_STAGE), 1, most))


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
