"""Row groups: which rows advance together, and how many programs that takes.

Rows whose patches begin at like positions run over one number of last tokens: a group.
In a group they lie in order of birth, in batches of equal size, and a batch is born
with the first of its rows. Either the batches advance one after another, by the same
program, or all that are born advance together, by one program for each number of them.
The latter does less work, in larger products, and compiles longer: what pays depends on
how often the programs are used.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from mcq_jax import sharding
from mcq_jax.costs.formulas import layer_flops
from mcq_jax.costs.machine import machine_at_hand
from mcq_jax.model.config import ModelConfig
from mcq_jax.passes.plan import Plan

# Numbers of groups that are tried, and of batches that advance together where there are
# several: a hundred programs or so are the most, which take 0.4 GB of a host's memory.
_GROUPS, _TOGETHER = (1, 2, 3, 4, 5, 6, 8, 10, 12), 10
# Rows of a batch that are tried: the same for all plans, so that these share programs.
SIZES = sorted({n << i for i in range(24) for n in (1, 3, 5, 7)})
_MANY = SIZES[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowGroup:
    """Rows that run over as many last tokens."""

    suffix: int
    # Places in the plan, in order of birth; the last stands as often as whole batches
    # take.
    rows: Int[np.ndarray, " row"]
    # In which layer each batch is born.
    births: Int[np.ndarray, " batch"]
    # Whether all batches that are born advance in one program.
    together: bool

    @property
    def batch(self) -> int:
        """Rows of a batch."""
        return len(self.rows) // len(self.births)

    def calls(self, layer: int) -> list[range]:
        """Returns the batches that each call in a layer advances."""
        born = int((self.births <= layer).sum())
        if self.together:
            return [range(born)] * (born > 0)
        return [range(i, i + 1) for i in range(born)]


def row_groups(
    plan: Plan,
    copies: tuple[int, int],
    config: ModelConfig,
    *,
    repeats: int = 1,
    rows_at_once: int | None = None,
) -> Sequence[RowGroup]:
    """Returns how a plan's rows advance, by as many programs as pay.

    Args:
        copies: prompts and sources, each of which has all of the rows.
        repeats: how often such a pass will be run: the more, the more programs pay.
        rows_at_once: as of `resume`; rows of one length may then be several groups.
    """
    return _cheapest(
        tuple(plan.births.tolist()), tuple(plan.starts.tolist()),
        copies=copies, config=config, repeats=repeats, rows_at_once=rows_at_once,
        machine=machine_at_hand(), devices=sharding.devices_in_use(),
        shares=sharding.shares_to_fill_data(*copies),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Work:
    """What groups amount to: programs, how often they run, over how many tokens."""

    programs: int
    calls: int
    # Of one prompt and source.
    token_layers: int


def work_of(groups: Sequence[RowGroup], layers: int) -> Work:
    """Returns what advancing all rows takes."""
    shapes, calls, token_layers = set(), 0, 0
    for group in groups:
        for layer in range(layers):
            sizes = [len(call) for call in group.calls(layer)]
            shapes |= {(group.suffix, group.batch, size) for size in sizes}
            calls += len(sizes)
            token_layers += group.suffix * group.batch * sum(sizes)
    return Work(len(shapes), calls, token_layers)


def fullest(plan: Plan, groups: Sequence[RowGroup]) -> tuple[Plan, RowGroup]:
    """Returns the rows that take most memory together, all born in the first layer.

    What memory a pass takes is seen by compiling `run_groups` for these alone: they run
    by programs of the same shapes, of which there is then one.
    """
    group = max(groups, key=lambda group: group.suffix * len(group.rows))
    plan, births = plan.take(group.rows), np.zeros_like(group.births)
    rows = np.arange(len(group.rows))
    plan = plan.all_born_first()
    return plan, dataclasses.replace(group, rows=rows, births=births)


@functools.lru_cache(maxsize=64)
def _cheapest(
    births, starts, *, copies, config, repeats, rows_at_once, machine, devices, shares
) -> Sequence[RowGroup]:
    births, starts = np.array(births), np.array(starts)

    def cost(groups: Sequence[RowGroup]) -> float:
        """In FLOPs of one device."""
        work = work_of(groups, config.layers)
        tokens = work.token_layers * copies[0] * copies[1] / devices
        flops = (tokens + machine.reading * work.calls) * layer_flops(config, keys=0)
        return work.programs * machine.program + repeats * flops

    tried = []
    for most in _GROUPS:
        groups = []
        for suffix, rows in _by_length(births, starts, most):
            at_once = _MANY if rows_at_once is None else max(1, rows_at_once // suffix)
            together = config.layers if len(np.unique(starts)) == 1 else _TOGETHER
            # Programs that other plans share are the better ones for a single pass.
            cuts = _cuts(
                births, suffix, rows, at_once=at_once, shares=shares, together=together,
                exact=repeats > 1, most_batches=machine.most_batches,
            )  # fmt: skip
            groups += min(cuts, key=cost)
        tried.append(groups)
        if most >= len(np.unique(starts)):
            break
    return min(tried, key=cost)


def _by_length(births, starts, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """(suffix, rows in order of birth), for at most so many lengths of suffix."""
    lengths = np.unique(starts)
    if len(lengths) > most:
        lengths = np.quantile(starts, np.arange(1, most + 1) / most)
        lengths = np.unique(np.ceil(lengths).astype(int))
    group = np.searchsorted(lengths, starts)
    for index, suffix in enumerate(lengths):
        rows = np.flatnonzero(group == index)
        if len(rows):
            yield int(suffix), rows[np.argsort(births[rows], kind="stable")]


def _cuts(
    births, suffix: int, rows, *, at_once: int, shares: int, together: int,
    exact: bool, most_batches: int | None,
) -> Iterator[list[RowGroup]]:  # fmt: skip
    """The ways to cut rows of one length, of which so many fit, into batches."""
    whole = next(n for n in SIZES if n * shares >= len(rows)) * shares
    few = max(shares, at_once // shares * shares)
    for size in sorted({min(n * shares, few, whole) for n in SIZES}):
        batches = -(-len(rows) // size)
        if size in (few, whole) or batches <= (most_batches or batches):
            yield _pieces(births, suffix, rows, size, at_once, together=False)
    if most_batches is None:
        own = {-(-len(rows) // n // shares) * shares for n in range(2, together + 1)}
        for size in sorted(own if exact else {n * shares for n in SIZES}):
            batches = -(-len(rows) // size)
            if size <= few and 1 < batches <= together:
                yield _pieces(births, suffix, rows, size, at_once, together=True)


def _pieces(
    births, suffix: int, rows, size: int, at_once: int, *, together: bool
) -> list[RowGroup]:
    """Groups of whole batches, each of as many rows as fit."""
    batches = -(-len(rows) // size)
    filled = np.pad(rows, (0, batches * size - len(rows)), mode="edge")
    pieces = -(-batches // max(1, at_once // size))
    return [
        RowGroup(
            suffix=suffix,
            rows=some.reshape(-1),
            births=births[some[:, 0]],
            together=together,
        )
        for some in np.array_split(filled.reshape(batches, size), pieces)
    ]
