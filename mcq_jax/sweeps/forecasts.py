"""`forecast`: what a sweep will take, before it runs; `rows_that_fit`: in what pieces.

Memory is the compiler's: the largest programs of a chunk are compiled for the shapes
that will run, and what lives between them is added up. FLOPs are counted by formula.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import costs, sharding
from mcq_jax.costs.compiled import HostProgram, compile_all, tree_bytes
from mcq_jax.costs.machine import flop_rate, free_bytes, machine_at_hand
from mcq_jax.interventions import Capture, Site
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.passes.answers import read_answers
from mcq_jax.passes.plan import Plan
from mcq_jax.passes.prompt_pass import prefill
from mcq_jax.passes.row_captures import watched
from mcq_jax.passes.row_groups import RowGroup, fullest, row_groups, work_of
from mcq_jax.prompts import TokenisedPrompt, batch_of
from mcq_jax.sweeps.compiled_rows import compile_rows, of_sources
from mcq_jax.sweeps.outcomes import MetricFunction
from mcq_jax.sweeps.reads import all_reads, at_ends
from mcq_jax.sweeps.sources import Ablation, Direction, Sources

# Of the free memory; the rest is for what other programs do meanwhile.
_SAFE_SHARE = 0.9
# What one compiled program keeps of the host's memory: 26 more of them took 106 MB.
_PROGRAM_BYTES = 4e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a sweep takes."""

    # Runs that are patched: prompts × sources × rows of the plan.
    runs: int
    # The split that fits: rows of a prompt and source that advance together.
    rows_at_once: int
    # The most bytes in use on one device: parameters, a chunk, and, where the host's
    # memory is the device's, the bank and the compiled programs.
    peak_bytes: float
    # What was free before; None where the device does not say.
    free_bytes: float | None
    flops: float
    # At the rate of a large matrix product, here and now, on every device in use.
    seconds: float
    # To compile what advances rows, unless it is kept from before.
    programs: int
    compile_seconds: float
    # At the same rate, by one full forward pass per run (`by_full_passes`).
    full_pass_seconds: float

    def __str__(self) -> str:
        free = "" if self.free_bytes is None else f" ({self.free_bytes / 1e9:.1f} free)"
        return (
            f"{self.runs} patched runs, {self.rows_at_once} rows at once: "
            f"{self.flops / 1e12:.3g} TFLOP, at least {self.seconds:.0f} seconds; "
            f"{self.programs} programs to compile, {self.compile_seconds:.0f} seconds "
            f"(full passes: {self.full_pass_seconds:.0f} seconds, few programs); "
            f"at most {self.peak_bytes / 1e9:.2f} GB in use{free}."
        )


def forecast(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    plan: Plan,
    sources: Sources | Ablation,
    *,
    config: ModelConfig,
    direction: Direction = Direction.NOISE,
    metrics: Mapping[str, MetricFunction] | None = None,
    full_vocabulary: bool = True,
    prompts_at_once: int = 4,
    rows_at_once: int | None = None,
) -> Forecast:
    """Returns what `sweep` with the same arguments takes, and runs nothing.

    What a prefix shared by all prompts saves is not subtracted.

    Raises:
        ValueError: if not even one row at a time fits into memory.
    """
    reads = all_reads(metrics or {})
    plan = watched(plan, reads, 0)
    kinds = len(sources.kinds)
    count = len(sources.index) if isinstance(sources, Sources) else len(asked)
    longest = sorted(asked, key=lambda prompt: -len(prompt.ids))
    chunk = _Chunk(
        parameters=jax.tree.map(_shape_of, parameters),
        shape=(
            sharding.prompts_run_at_once(min(prompts_at_once, count)),
            batch_of(longest[:1]).ids.shape[1],
        ),
        choices=len(asked[0].answer_ids),
        sources=1,
        plan=plan,
        reads=reads,
        config=config,
        full_vocabulary=full_vocabulary,
        repeats=-(-count // prompts_at_once),
    )
    if isinstance(sources, Sources):
        if direction is Direction.NOISE:
            chunk = dataclasses.replace(chunk, sources=kinds)
        else:  # every source is a prompt of its own
            prompts, tokens = chunk.shape
            chunk = dataclasses.replace(chunk, shape=(prompts * kinds, tokens))
    resident = tree_bytes(chunk.parameters)
    on_host = 0.0
    if jax.default_backend() == "cpu":
        on_host = len(asked) * tree_bytes(chunk.held) / chunk.shape[0]
        on_host += chunk.programs(rows_at_once) * _PROGRAM_BYTES
    free = free_bytes()
    room = None if free is None else _SAFE_SHARE * (free - on_host) + resident
    rows, peak = _largest_split(chunk, room, rows_at_once)
    lengths = [len(prompt.ids) for prompt in asked[:count]]
    flops = _flops(chunk, count * kinds, lengths)
    full = [costs.prefill_flops(config, tokens=length) for length in lengths]
    rate = flop_rate() * sharding.devices_in_use()
    programs = chunk.programs(rows)
    return Forecast(
        runs=count * kinds * len(plan.births),
        rows_at_once=rows,
        peak_bytes=peak + on_host,
        free_bytes=free,
        flops=flops,
        seconds=flops / rate,
        programs=programs,
        compile_seconds=programs * machine_at_hand().compiling,
        full_pass_seconds=kinds * len(plan.births) * sum(full) / rate,
    )


def rows_that_fit(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    plan: Plan,
    sources: Sources | Ablation,
    *,
    config: ModelConfig,
    prompts_at_once: int,
    rows_at_once: int | None = None,
    say: Callable[[str], None] | None = None,
    **how: Any,
) -> int | None:
    """Returns how many rows may advance together; None where all of them surely fit.

    Hosts have to run the same, however much of their memory is free and whoever
    listens: so the first one decides.

    Args:
        rows_at_once: what was asked for, and is then kept.
        say: is told the forecast, which is otherwise made only where memory is short.
        how: the other arguments of `forecast`.

    Raises:
        ValueError: if not even one row at a time fits into memory.
    """
    longest = max(len(prompt.ids) for prompt in asked)
    reads = all_reads(how.get("metrics") or {})

    def is_wanted() -> bytes:
        is_short = rows_at_once is None and _may_not_fit(
            config,
            watched(plan, reads, 0),
            reads,
            prompts=sharding.prompts_run_at_once(prompts_at_once)
            // sharding.data_parts(),
            sources=len(sources.kinds),
            tokens=longest,
        )
        return b"yes" * bool(is_short or say is not None)

    if not sharding.on_first_host(is_wanted):
        return rows_at_once
    expected = forecast(
        parameters, asked, plan, sources, config=config,
        prompts_at_once=prompts_at_once, rows_at_once=rows_at_once, **how,
    )  # fmt: skip
    if say is not None and sharding.is_first_host():
        say(str(expected))
    return int(sharding.on_first_host(str(expected.rows_at_once).encode))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Chunk:
    """The largest chunk of a sweep, as shapes."""

    parameters: Any
    shape: tuple[int, int]  # prompts, tokens
    choices: int
    sources: int
    plan: Plan
    # Captures of all metrics, at positions from the end.
    reads: tuple[Capture, ...]
    config: ModelConfig
    full_vocabulary: bool
    # How many chunks there are in all.
    repeats: int

    @functools.cached_property
    def start(self) -> HostProgram:
        """The prompts' own pass, compiled; its result is a `Prefill` of shapes."""
        return compile_all(self._prefill, self.parameters, self._tokens)

    @property
    def held(self) -> dict[Site, jax.ShapeDtypeStruct]:
        """What each prompt holds as a source, `[layer, prompt, …]`."""
        return self.start.result.activations

    def programs(self, rows_at_once: int | None) -> int:
        """How many programs advance rows."""
        return work_of(self._groups(rows_at_once), self.config.layers).programs

    def most_rows(self) -> int:
        """Tokens of a prompt and source that run together, if all may."""
        return max(g.suffix * len(g.rows) for g in self._groups(None))

    def _groups(self, rows_at_once: int | None) -> Sequence[RowGroup]:
        return row_groups(
            self.plan, self._copies, self.config, repeats=self.repeats,
            rows_at_once=rows_at_once,
        )  # fmt: skip

    def peak_bytes(self, rows_at_once: int) -> float:
        """The most bytes in use, parameters included. Compiles the largest programs."""

        def then(parameters, resumed):
            rows = self._rows / resumed.final.shape[2]
            everything = jnp.zeros((*self._copies, self._rows, self.config.width))
            seen = [  # of all rows
                jnp.zeros((math.ceil(rows * array.size),), array.dtype)
                for array in resumed.seen
            ]
            answer_ids = jnp.zeros((self.shape[0], self.choices), jnp.int32)
            return resumed.final, resumed.seen, seen, read_answers(
                parameters.unembedding, everything, answer_ids, config=self.config,
                full_vocabulary=self.full_vocabulary,
            )  # fmt: skip

        plan, group = fullest(self.plan, self._groups(rows_at_once))
        held = of_sources(self.held, self.sources)
        rows = compile_rows(
            self.parameters, self.start.result, held, plan, [group],
            config=self.config, capture=self._capture, then=then,
        )  # fmt: skip
        return max(self.start.peak_bytes + tree_bytes(held), rows.peak_bytes)

    @property
    def _capture(self) -> list[Capture]:
        prompts, width = self.shape
        return at_ends(self.reads, np.full(prompts, width), np.zeros(prompts, int))

    @property
    def _rows(self) -> int:
        return len(self.plan.births)

    @property
    def _copies(self) -> tuple[int, int]:
        return self.shape[0], self.sources

    @property
    def _tokens(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.shape, jnp.int32)

    def _prefill(self, parameters, tokens):
        prompts, width = self.shape
        return prefill(
            parameters, tokens, np.full(prompts, width), config=self.config,
            suffix=self.plan.suffix, sites=self.plan.sites,
        )  # fmt: skip


def _largest_split(
    chunk: _Chunk, room: float | None, asked: int | None
) -> tuple[int, float]:
    """The most rows at once that fit into the room, and the bytes that they take."""
    rows = asked or chunk.most_rows()
    peak = chunk.peak_bytes(rows)
    while asked is None and room is not None and peak > room:
        if rows == 1:
            raise ValueError(
                f"{chunk.shape[0]} prompts of up to {chunk.shape[1]} tokens with one "
                f"row at a time take {peak / 1e9:.1f} GB, and {room / 1e9:.1f} GB may "
                "be used; give a smaller prompts_at_once, or leave out long prompts."
            )
        rows = max(1, min(rows // 2, int(rows * room / peak)))
        peak = chunk.peak_bytes(rows)
    return rows, peak


def _flops(chunk: _Chunk, runs: int, lengths: Sequence[int]) -> float:
    """Of the prompts (once for the bank, once to be patched) and all patched runs."""
    config, plan = chunk.config, chunk.plan
    tokens = int(np.mean(lengths))
    prompts = 2 * sum(costs.prefill_flops(config, tokens=n) for n in lengths)
    token_layers = float((plan.starts * (config.layers - plan.births)).sum())
    row_layers = token_layers * costs.layer_flops(config, keys=tokens)
    answers = len(plan.births) * costs.unembed_flops(config) * chunk.full_vocabulary
    return prompts + runs * (row_layers + answers)


def _may_not_fit(
    config: ModelConfig,
    plan: Plan,
    reads: Sequence[Capture],
    *,
    prompts: int,
    sources: int,
    tokens: int,
) -> bool:
    """Whether a chunk could need more than is free, by a formula that compiles nothing.

    The formula is coarse, hence a quarter of what is free.
    """
    free = free_bytes()
    if free is None:
        return False
    runs = prompts * sources * len(plan.births)
    needed = costs.chunk_bytes(
        config,
        prompts=prompts,
        tokens=tokens,
        rows=prompts * sources * int(plan.starts.sum()),
        seen=runs * sum(_numbers_of(read, config) for read in reads),
    )
    return needed > free / 4


def _numbers_of(read: Capture, config: ModelConfig) -> int:
    """How many numbers a capture has of one row."""
    sizes = {
        "kv_head": config.kv_heads, "group": config.group, "neuron": config.neurons,
        "head_width": config.head_width, "width": config.width,
    }  # fmt: skip
    for name, places in (("position", read.positions), ("key", read.keys)):
        sizes[name] = 1 if places is None else places.shape[1]
    axes = [sizes.get(axis, 1) for axis in read.site.axes]
    if read.units is not None:
        axes = [n for i, n in enumerate(axes) if i not in read.site.unit_axes]
        axes.append(read.units.shape[1])
    return math.prod(axes) * len(read.layers or range(config.layers))


def _shape_of(array) -> jax.ShapeDtypeStruct:
    lies = getattr(array, "sharding", None)
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=lies)
