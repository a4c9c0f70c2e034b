"""`sweep`: a model, prompts, a plan and sources to one labelled table.

    prompts ─► bank (each run once: what sources hold) ─┐
       └─► chunks: prefill ─► resume under the plan ◄───┘ ─► metrics ─► table

Chunks are fixed by the prompts; a chunk that is finished is on disk, if a folder is
given, and a sweep that was stopped does only what is missing.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mcq_jax import prompts, sharding
from mcq_jax.interventions import Site
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.passes.answers import check_finite
from mcq_jax.passes.plan import Plan
from mcq_jax.passes.row_captures import watched
from mcq_jax.passes.row_places import PlacedRows
from mcq_jax.passes.shared_prefix import without_common_prefix
from mcq_jax.prompts import TokenisedPrompt, question_names
from mcq_jax.results import RunFolder
from mcq_jax.sweeps.bank import Bank, check_bank, fill_bank
from mcq_jax.sweeps.chunk_work import ChunkWork
from mcq_jax.sweeps.forecasts import rows_that_fit
from mcq_jax.sweeps.identities import sweep_identity, under_other_labels
from mcq_jax.sweeps.moved import check_that_patches_move, moved
from mcq_jax.sweeps.near_ties import RERUN, WithReruns
from mcq_jax.sweeps.outcomes import (
    EFFECTS,
    MetricFunction,
)
from mcq_jax.sweeps.reads import all_reads, check_reads
from mcq_jax.sweeps.sources import Ablation, Direction, Sources
from mcq_jax.sweeps.sweep_table import MOVED, SweepTable


def sweep(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    plan: Plan,
    sources: Sources | Ablation,
    *,
    config: ModelConfig,
    metrics: Mapping[str, MetricFunction] = EFFECTS,
    direction: Direction = Direction.NOISE,
    full_vocabulary: bool = True,
    prompts_at_once: int = 4,
    rows_at_once: int | None = None,
    by_full_passes: bool = False,
    chunks: Sequence[sharding.Chunk] | None = None,
    bank: Bank | None = None,
    folder: RunFolder | None = None,
    name: str = "sweep",
    weights: str | None = None,
    track: sharding.Track = iter,
    say: Callable[[str], None] | None = None,
) -> SweepTable:
    """Patches every prompt under every row of a plan, from every source.

    Args:
        asked: prompts, those that only serve as sources last.
        sources: which prompt each one is patched from; its rows are the prompts that
            are patched.
        metrics: pure module-level functions of an `Outcome`, by name, or a `Metric` of
            such a function and of the activations that it reads.
        full_vocabulary: whether losses can be asked for; without, only the answers'
            logits are computed.
        prompts_at_once: prompts of a chunk, side by side.
        chunks: which prompts are patched, and which of them together, such as the
            rotations of a question; all of them, a few at a time, where left out.
        bank: what every prompt holds at the plan's sites, where it is known already,
            run whole.
        rows_at_once: rows of a prompt and source that advance together, each counted
            as the tokens that it runs over; by default as many as fit into memory.
        by_full_passes: run the oracle, one full pass per row, in place of the resumed
            pass.
        folder: where finished chunks are kept, as parts of the table `name`. Which of
            the tables of this name it is follows from all that the numbers depend on:
            weights, dtype, prompts, plan, sources, direction, metrics (their source).
        weights: what the weights are known by, such as a checkpoint's `content_hash`;
            where it is left out and a folder is given, their bytes are hashed.
        track: wraps the chunks, for a bar.
        say: is told the `forecast` before anything runs.

    Of a model in bfloat16, rows whose two best answers nearly tie are run again with
    float32 activations; the column `rerun` says which.
    """
    count = len(sources.index) if isinstance(sources, Sources) else len(asked)
    _check(asked, plan, sources, direction, count)
    check_reads(metrics, asked, config)
    if bank is not None:
        check_bank(bank, plan, len(asked))
    if chunks is None:
        starts = range(0, count, prompts_at_once)
        chunks = [np.arange(i, min(i + prompts_at_once, count)) for i in starts]
    else:
        prompts_at_once = max(map(len, chunks))

    @functools.cache
    def prepared() -> Callable[[sharding.Chunk], Mapping]:
        rows = None
        if not by_full_passes:
            rows = rows_that_fit(
                parameters, asked, plan, sources, say=say, config=config,
                direction=direction, full_vocabulary=full_vocabulary,
                prompts_at_once=prompts_at_once, rows_at_once=rows_at_once,
                metrics=metrics,
            )  # fmt: skip
        seen = watched(plan, all_reads(metrics), 0)
        return _prepare(
            parameters, asked, seen, sources, prompts_at_once, bank, config=config,
            metrics=tuple(metrics.items()), direction=direction,
            full_vocabulary=full_vocabulary, rows_at_once=rows, repeats=len(chunks),
            by_full_passes=by_full_passes,
        )  # fmt: skip

    patched = np.concatenate(chunks)

    def work(chunk: sharding.Chunk) -> Mapping:
        return prepared()(chunk)  # a sweep that is finished needs no preparation

    def by_prompt(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        shape = (len(patched), len(sources.kinds), len(plan.births))
        numbers = {*metrics, RERUN, MOVED} & set(columns)
        return {m: columns[m].reshape(*shape, *columns[m].shape[1:]) for m in numbers}

    def table(chunk: sharding.Chunk, found: Mapping) -> SweepTable:
        return _table(asked, plan, sources, tuple(metrics), chunk, found)

    if folder is None:
        parts = list(sharding.run_chunks(chunks, work, track=track))
        key = None
        found = {m: np.concatenate([part[m] for part in parts]) for m in parts[0]}
    else:
        identity = sweep_identity(
            parameters, asked, plan, sources, chunks, weights, config=config,
            metrics=metrics, direction=direction, full_vocabulary=full_vocabulary,
            by_full_passes=by_full_passes,
        )  # fmt: skip
        kept, do = folder.table(name, identity), work
        if kept.missing_parts(len(chunks)):
            same = under_other_labels(folder, name, identity, len(chunks))
            do = work if same is None else _read_from(by_prompt(same), patched)
        columns = kept.complete(
            chunks, do, lambda *part: table(*part).columns(), track=track
        )
        key, found = kept.key, by_prompt(columns)
    return dataclasses.replace(table(patched, found), key=key)


def _read_from(
    columns: Mapping[str, np.ndarray], prompts: np.ndarray
) -> Callable[[sharding.Chunk], Mapping]:
    """A chunk's work where all numbers are there, `[prompt, source, row, …]`."""
    place = {prompt: number for number, prompt in enumerate(prompts.tolist())}

    def read(chunk: sharding.Chunk) -> Mapping:
        mine = [place[prompt] for prompt in np.asarray(chunk).tolist()]
        return {name: column[mine] for name, column in columns.items()}

    return read


def _prepare(
    parameters, asked, plan: Plan, sources, prompts_at_once: int, bank, *, config, **how
) -> Callable[[sharding.Chunk], Mapping]:
    """Runs every prompt once if need be; returns what is done with a chunk of them."""
    prefix, behind = None, asked
    # Patterns of a bank that is given have the keys of whole prompts.
    has_patterns = bank is not None and Site.PATTERN in plan.sites
    if not how["by_full_passes"] and not has_patterns:
        prefix, behind = without_common_prefix(
            parameters, asked, config=config, suffix=plan.suffix
        )
    if bank is None:
        bank = fill_bank(
            parameters, behind, plan, config, prompts_at_once, prefix=prefix
        )
    else:  # its own pass may have been behind another prefix, or keep other tokens
        bank = dataclasses.replace(bank, run=None)
    are_finite = np.asarray(np.isfinite(bank.final).all(-1))
    if not are_finite.all():
        whole = prompts.batch_of(asked)
        check_finite(parameters, whole.ids, whole.lengths, are_finite, config)
    work = ChunkWork(
        parameters=parameters, asked=behind, plan=plan, sources=sources, bank=bank,
        config=config, prefix=prefix, **how,
    )  # fmt: skip
    if bank.final.dtype.itemsize < 4 and not work.by_full_passes:
        work = WithReruns(work=work, whole=asked, prompts_at_once=prompts_at_once)
    if isinstance(sources, Ablation):
        return work
    moves = moved(bank.held, plan, sources.index)
    check_that_patches_move(moves, sources)
    return lambda chunk: {**work(chunk), MOVED: moves[chunk]}


def _table(asked, plan: Plan, sources, metrics, chunk, found) -> SweepTable:
    """Names for what some prompts came to, `[prompt, source, row]`."""
    chosen = [asked[i] for i in chunk]
    return SweepTable(
        values={m: found[m] for m in (*metrics, *({RERUN} & set(found)))},
        prompts={
            "prompt": chunk,
            "question": question_names(asked)[chunk],
            "rotation": np.array([p.rotation for p in chosen]),
            "subject": np.array([p.subject for p in chosen]),
            "gold": np.array([p.gold for p in chosen]),
            "gold_place": np.array([p.gold_place for p in chosen]),
            "gold_letter": np.array([p.gold_letter for p in chosen]),
        },
        sources=sources.kinds,
        source_prompts=None if isinstance(sources, Ablation) else sources.index[chunk],
        rows=plan.labels,
        moved=found.get(MOVED),
    )


def _check(asked, plan: Plan, sources, direction: Direction, count: int) -> None:
    if not asked or not count:
        raise ValueError("no prompts to patch; give at least one.")
    prompts.require_one_gold(asked)
    if isinstance(sources, Ablation) and direction is Direction.DENOISE:
        raise ValueError(
            f"{direction} needs a prompt to restore from, and {sources} is none; give "
            "Sources, or Direction.NOISE."
        )
    if isinstance(sources, Sources) and sources.index.max() >= len(asked):
        raise ValueError(
            f"source {int(sources.index.max())} of {len(asked)} prompts; sources are "
            "places among the prompts."
        )
    if isinstance(plan, PlacedRows):
        for table in (plan.places.offsets, plan.places.source_offsets):
            if table is not None and len(table) not in (1, len(asked)):
                raise ValueError(
                    f"the plan has places for {len(table)} prompts, and {len(asked)} "
                    "are asked; give one row of places, or one for every prompt."
                )
    if Site.PATTERN in plan.sites and isinstance(sources, Sources):
        lengths = np.array([len(p.ids) for p in asked])
        if (lengths[: len(sources.index), None] != lengths[sources.index]).any():
            raise ValueError(
                "a pattern can be patched only from a prompt of the same length; "
                "choose such sources."
            )
