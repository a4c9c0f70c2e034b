"""`make_plan`: does a sweep fit on these chips, how large a chunk, and how long?"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax

from mcq_jax import sharding, sweeps
from mcq_jax.model import ModelConfig
from mcq_jax.planning.chips import Chip
from mcq_jax.planning.host_program import HostProgram, tree_bytes
from mcq_jax.planning.passes import Chunk, Passes, mean_rows
from mcq_jax.planning.roofline import Estimate, estimate


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
    next_chunk: Chunk
    next_bytes: float | None
    # One pass over a chunk's prompts, and all that patching them costs.
    prompt_pass: Estimate
    patching: Estimate
    # The compiler's count against the formulas of `sweeps.cost`.
    prompt_pass_flops_ratio: float
    patching_flops_ratio: float
    # Of the whole sweep, at the roofline.
    seconds: float
    # The same by one full pass per patch, at the chips' peak: no batch is faster.
    seconds_without_engine: float

    @property
    def chip_hours(self) -> float:
        return self.chips * self.seconds / 3600


def make_plan(
    passes: Passes, sweep: Sweep, chip: Chip, *, say: Callable[[str], None]
) -> Plan:
    """Finds the largest chunk that fits and what the sweep costs with it."""
    data = passes.mesh.shape["data"]
    chunks = chunk_sizes(sweep, data)
    chunk, following, next_bytes = largest_fitting(
        chunks, lambda chunk: _peak_bytes(passes, chunk, say), chip.memory
    )
    say(f"costing {chunk}")
    start = _prefill(passes, chunk.prompts)
    layers = passes.prefill(chunk.prompts, stacked=False)
    fullest = _all_rows(passes, chunk)
    # Costs grow evenly with rows: an average layer stands for those that rows join in.
    average = mean_rows(passes.config)
    resumed = passes.resume(start.result, chunk.sources, rows=average)
    answers, read = passes.read_answers(chunk.prompts)
    rows = chunk.prompts * chunk.sources * passes.config.layers * passes.config.nodes
    prompt_pass = estimate([(p, p.count) for p in layers.programs], chip)
    patching = estimate(
        [
            *((p, p.count) for p in resumed.programs),
            *((p, p.count * math.ceil(rows / read)) for p in answers.programs),
        ],
        chip,
    )
    by_formula = _flops_by_formula(passes.config, chunk, passes.tokens)
    devices = passes.mesh.size
    whole_chunks = sweep.prompts / chunk.prompts
    # Every prompt is run once for what its nodes write, as a source of others.
    seconds = whole_chunks * (
        2 * prompt_pass.seconds + patching.seconds * sweep.sources / chunk.sources
    )
    nodes = passes.config.layers * passes.config.nodes
    full_passes = whole_chunks * sweep.sources * nodes
    return Plan(
        chips=devices,
        mesh=str(sharding.shape_of(passes.mesh)),
        chunk=chunk,
        memory=_memory(passes, start, fullest),
        next_chunk=following,
        next_bytes=next_bytes,
        prompt_pass=prompt_pass,
        patching=patching,
        prompt_pass_flops_ratio=prompt_pass.flops * devices / by_formula[0],
        patching_flops_ratio=patching.flops * devices / by_formula[1],
        seconds=seconds,
        seconds_without_engine=full_passes * prompt_pass.flops / chip.peak_flops,
    )


def chunk_sizes(sweep: Sweep, data: int) -> list[Chunk]:
    """Returns the chunks worth trying, smallest first.

    Every part of the mesh has a prompt; its sources come first, since they share the
    prompt's pass, and then more prompts.
    """
    first = [Chunk(data, sources) for sources in range(1, sweep.sources + 1)]
    most = max(1, math.ceil(sweep.prompts / data))
    more = [Chunk(data * times, sweep.sources) for times in range(2, most + 2)]
    return [*first, *more]


def largest_fitting(
    chunks: Sequence[Chunk],
    measure: Callable[[Chunk], float | None],
    room: float,
) -> tuple[Chunk, Chunk, float | None]:
    """Returns the largest chunk that fits, the one after it, and what that would take.

    Both are measured. On the way there memory is taken to grow with prompts × sources,
    so that few chunks need be.
    """
    found: dict[int, float | None] = {}

    def fits(index: int) -> bool:
        if index not in found:
            found[index] = measure(chunks[index])
        size = found[index]
        return size is not None and size <= room

    if not fits(0):
        size = found[0]
        needs = "more memory than" if size is None else f"{size / 1e9:.1f} GB of"
        raise ValueError(
            f"the smallest chunk, {chunks[0]}, needs {needs} the {room / 1e9:.1f} GB "
            "of a chip; use a larger slice, a larger model axis, or --fully-sharded."
        )
    low, high = 0, len(chunks) - 1
    guess = min(1, high)
    while high - low > 1:
        if fits(guess):
            low = guess
        else:
            high = guess
        guess = min(max(_extrapolate(chunks, found, room), low + 1), high - 1)
    return chunks[low], chunks[high], found.get(high) or measure(chunks[high])


def _extrapolate(chunks, found, room) -> int:
    """The last chunk that would fit if memory grew evenly between those measured."""
    known = sorted((_rows(chunks[i]), size) for i, size in found.items() if size)
    if len(known) < 2:
        return 0
    (few, little), (many, much) = known[0], known[-1]
    rows = few + (room - little) * (many - few) / max(much - little, 1)
    return max((i for i, chunk in enumerate(chunks) if _rows(chunk) <= rows), default=0)


def _rows(chunk: Chunk) -> int:
    return chunk.prompts * chunk.sources


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


@functools.lru_cache(maxsize=2)
def _prefill(passes: Passes, prompts: int) -> HostProgram:
    """Compiled once for all chunks of as many prompts."""
    return passes.prefill(prompts)


@functools.lru_cache(maxsize=2)
def _all_rows(passes: Passes, chunk: Chunk) -> HostProgram:
    """The last layers of a chunk, where every row runs and memory is fullest."""
    start = _prefill(passes, chunk.prompts)
    rows = passes.config.layers * passes.config.nodes
    return passes.resume(start.result, chunk.sources, rows=rows)


def _memory(passes: Passes, start: HostProgram, resumed: HostProgram) -> Memory:
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


def _flops_by_formula(
    config: ModelConfig, chunk: Chunk, tokens: int
) -> tuple[float, float]:
    one_prompt = sweeps.prefill_flops(config, tokens=tokens)
    patching = sweeps.node_sweep_flops(config, tokens=tokens, sources=chunk.sources)
    return chunk.prompts * one_prompt, chunk.prompts * patching
