"""`make_plan`: does a sweep fit on these chips, how large a chunk, and how long?"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax

from mcq_jax import sharding
from mcq_jax.costs.compiled import HostProgram, tree_bytes
from mcq_jax.planning import formulas
from mcq_jax.planning.chips import Chip
from mcq_jax.planning.passes import Chunk, Passes, rows_by_call
from mcq_jax.planning.roofline import PassCost, pass_cost
from mcq_jax.planning.search import largest_fitting

# Into how many groups a prompt's rows are split where memory is short.
_MOST_PIECES = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """How much is to be patched: every node of every prompt, from every source."""

    prompts: int = 1000
    sources: int = 10
    tokens: int = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one chip at the fullest moment of a chunk."""

    parameters: float
    keys_and_values: float
    rows: float
    # All else: the compiler's temporaries, sources, what the prompt pass keeps.
    rest: float

    @property
    def total(self) -> float:
        return self.parameters + self.keys_and_values + self.rows + self.rest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What was found for one chip and mesh; times are for all chips together."""

    chips: int
    mesh: str
    chunk: Chunk
    memory: Memory
    # What the next larger chunk would take; None if it does not even compile.
    next_chunk: Chunk | None
    next_bytes: float | None
    # One pass over a chunk's prompts, and all that patching them costs.
    prompt_pass: PassCost
    patching: PassCost
    # The compiler's count against the formulas: of rows that run from their births
    # on, and of rows that join in steps.
    prompt_pass_flops_ratio: float
    patching_flops_ratio: float
    staged_flops_ratio: float
    # Of the whole sweep, at the roofline.
    seconds: float
    # The same by one full pass per patch, at the chips' peak: no batch is faster.
    seconds_without_engine: float

    @property
    def chip_hours(self) -> float:
        return self.chips * self.seconds / 3600


def make_plan(
    passes: Passes,
    sweep: Sweep,
    chip: Chip,
    *,
    chunk: Chunk | None = None,
    say: Callable[[str], None],
) -> Plan:
    """Finds the largest chunk that fits and what the sweep costs with it.

    Args:
        chunk: of this size, instead of a search.
        say: is told what is being tried.
    """
    chunks = [chunk] if chunk else chunk_sizes(passes, sweep)
    chunk, following, next_bytes = largest_fitting(
        chunks,
        lambda chunk: _peak_bytes(passes, chunk, say),
        chip.memory,
        expect=lambda chunk: formulas.chunk_bytes(passes, chunk),
    )
    say(f"costing {chunk}")
    prompt_pass = _cost_of_prompts(passes, chunk, chip)
    patching = _cost_of_patching(passes, chunk, chip)
    devices = passes.mesh.size
    chunks_in_all = math.ceil(sweep.prompts / chunk.prompts)
    # Every prompt is run once for what its nodes write, as a source of others.
    of_sources = sweep.sources / chunk.sources
    seconds = 2 * prompt_pass.seconds + patching.seconds * of_sources
    nodes = passes.config.layers * passes.config.nodes
    full_passes = sweep.prompts / chunk.prompts * sweep.sources * nodes
    by_formula = formulas.prompt_pass_flops(passes, chunk.prompts)
    if_born = formulas.patching_flops(passes, chunk)
    staged = formulas.staged_patching_flops(passes, chunk)
    return Plan(
        chips=devices,
        mesh=str(sharding.shape_of(passes.mesh)),
        chunk=chunk,
        memory=_memory(passes, chunk),
        next_chunk=following,
        next_bytes=next_bytes,
        prompt_pass=prompt_pass,
        patching=patching,
        prompt_pass_flops_ratio=prompt_pass.flops * devices / by_formula,
        patching_flops_ratio=patching.flops * devices / if_born,
        staged_flops_ratio=patching.flops * devices / staged,
        seconds=chunks_in_all * seconds,
        seconds_without_engine=full_passes * prompt_pass.flops / chip.peak_flops,
    )


def _cost_of_prompts(passes: Passes, chunk: Chunk, chip: Chip) -> PassCost:
    layers = passes.prefill(chunk.prompts, stacked=False)
    return pass_cost([(p, p.count) for p in layers.programs], chip)


def _cost_of_patching(passes: Passes, chunk: Chunk, chip: Chip) -> PassCost:
    """Costs grow evenly with rows: one average call stands for all of them."""
    config, start = passes.config, _prefill(passes, chunk.prompts)
    running = rows_by_call(passes.groups(chunk), config)
    average = round(running.mean())
    resumed = passes.resume(start.result, chunk.sources, rows=average)
    answers, read = passes.read_answers(chunk.prompts)
    rows = chunk.prompts * chunk.sources * config.layers * config.nodes
    times = len(running) / config.layers
    return pass_cost(
        [
            *((p, p.count * times) for p in resumed.programs),
            *((p, p.count * math.ceil(rows / read)) for p in answers.programs),
        ],
        chip,
    )


def chunk_sizes(passes: Passes, sweep: Sweep) -> list[Chunk]:
    """Returns the chunks worth trying, smallest first.

    Every part of the mesh has a prompt. More of its rows at once come first, since they
    share the prompt's pass, and then more prompts.
    """
    data = passes.mesh.shape["data"]
    rows = passes.config.layers * passes.config.nodes
    pieces = sorted({math.ceil(rows / n) for n in range(1, _MOST_PIECES + 1)})
    first = [Chunk(data, sweep.sources, piece) for piece in pieces]
    most = max(1, math.ceil(sweep.prompts / data))
    more = [Chunk(data * n, sweep.sources, rows) for n in range(2, most + 1)]
    return [*first, *more]


def _peak_bytes(passes: Passes, chunk: Chunk, say) -> float | None:
    """The most memory of a chunk on one chip, or None if it does not compile."""
    try:
        start = _prefill(passes, chunk.prompts)
        resumed = _all_rows(passes, chunk)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        say(f"{chunk}: does not compile, out of memory")
        return None
    peak = max(start.peak_bytes, resumed.peak_bytes)
    say(f"{chunk}: {peak / 1e9:.1f} GB a chip")
    return peak


@functools.cache
def _prefill(passes: Passes, prompts: int) -> HostProgram:
    """Compiled once for all chunks of as many prompts."""
    return passes.prefill(prompts)


@functools.cache
def _all_rows(passes: Passes, chunk: Chunk) -> HostProgram:
    """The last layers of a chunk, where all rows run and memory is fullest."""
    start = _prefill(passes, chunk.prompts)
    return passes.fullest(start.result, chunk)


def _memory(passes: Passes, chunk: Chunk) -> Memory:
    start, resumed = _prefill(passes, chunk.prompts), _all_rows(passes, chunk)
    peak = max(start.peak_bytes, resumed.peak_bytes)
    parameters = tree_bytes(passes.parameters())
    blocks = tree_bytes(start.result.blocks)
    rows = tree_bytes(resumed.result)
    return Memory(
        parameters=parameters,
        keys_and_values=blocks,
        rows=rows,
        rest=peak - parameters - blocks - rows,
    )
