"""`PassCost`: how long programs take at the least, and what holds them up.

A chip cannot compute, read its memory or send faster than its published peaks. A
program takes at least the longest of the three; a pass, the sum of its programs.
"""

import collections
import dataclasses
from collections.abc import Iterable

from mcq_jax.costs.compiled import Program
from mcq_jax.planning.chips import Chip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange:
    """All exchanges of one kind in a pass, on one chip."""

    kind: str
    count: int
    # Of their results.
    bytes: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class PassCost:
    """What a pass costs one chip."""

    flops: float
    bytes: float
    bytes_sent: float
    seconds: float
    # Seconds in programs held up by arithmetic, by memory, by links.
    compute_bound: float
    memory_bound: float
    link_bound: float
    exchanges: tuple[Exchange, ...]

    @property
    def limit(self) -> str:
        """Which of the three holds up most of the time."""
        terms = {
            "compute": self.compute_bound,
            "memory": self.memory_bound,
            "links": self.link_bound,
        }
        return max(terms, key=lambda name: terms[name])


def pass_cost(programs: Iterable[tuple[Program, float]], chip: Chip) -> PassCost:
    """Returns the cost of programs, each with how often it runs."""
    programs = [(program, times) for program, times in programs if times]
    terms = {"compute": 0.0, "memory": 0.0, "links": 0.0}
    for program, times in programs:
        seconds = {
            "compute": program.flops / chip.peak_flops,
            "memory": program.bytes / chip.memory_bandwidth,
            "links": _sent(program) / chip.link_bandwidth,
        }
        longest = max(seconds, key=lambda name: seconds[name])
        terms[longest] += times * seconds[longest]
    return PassCost(
        flops=sum(times * program.flops for program, times in programs),
        bytes=sum(times * program.bytes for program, times in programs),
        bytes_sent=sum(times * _sent(program) for program, times in programs),
        seconds=sum(terms.values()),
        compute_bound=terms["compute"],
        memory_bound=terms["memory"],
        link_bound=terms["links"],
        exchanges=_exchanges(programs),
    )


def _sent(program: Program) -> float:
    return sum(exchange.bytes_sent for exchange in program.collectives)


def _exchanges(programs: list[tuple[Program, float]]) -> tuple[Exchange, ...]:
    counts, sizes = (collections.defaultdict[str, float](float) for _ in range(2))
    for program, times in programs:
        for exchange in program.collectives:
            counts[exchange.kind] += times
            sizes[exchange.kind] += times * exchange.bytes
    return tuple(
        Exchange(kind=kind, count=round(counts[kind]), bytes=sizes[kind])
        for kind in sorted(counts)
    )
