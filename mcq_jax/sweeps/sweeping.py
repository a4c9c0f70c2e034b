"""`sweep`: a model, prompts, a plan and sources to one labelled table.

    prompts ─► bank (each run once: what sources hold) ─┐
       └─► chunks: prefill ─► resume under the plan ◄───┘ ─► metrics ─► table

Chunks are fixed by the prompts; a chunk that is finished is on disk, if a folder is
given, and a sweep that was stopped does only what is missing.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mcq_jax import sharding
from mcq_jax.interventions import Site
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.results import RunFolder
from mcq_jax.sweeps.bank import (
    Bank,
    batch_of,
    check_that_sources_differ,
    fill_bank,
)
from mcq_jax.sweeps.estimates import estimate, may_not_fit
from mcq_jax.sweeps.full_pass import run_fully
from mcq_jax.sweeps.outcomes import (
    Answers,
    Metric,
    Outcome,
    kl_effect,
    loss_effect,
    net_effect,
)
from mcq_jax.sweeps.plans import NodeSets, Patches, Plan
from mcq_jax.sweeps.prompt_pass import prefill, read_answers
from mcq_jax.sweeps.resumed_pass import resume
from mcq_jax.sweeps.sources import Ablation, Direction, Sources
from mcq_jax.sweeps.sweep_table import SweepTable

EFFECTS: Mapping[str, Metric] = {
    "net": net_effect,
    "loss": loss_effect,
    "kl": kl_effect,
}


def sweep(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    plan: Plan,
    sources: Sources | Ablation,
    *,
    config: ModelConfig,
    metrics: Mapping[str, Metric] = EFFECTS,
    direction: Direction = Direction.NOISE,
    full_vocabulary: bool = True,
    prompts_at_once: int = 4,
    rows_at_once: int | None = None,
    by_full_passes: bool = False,
    folder: RunFolder | None = None,
    name: str = "sweep",
    track: sharding.Track = iter,
    say: Callable[[str], None] | None = None,
) -> SweepTable:
    """Patches every prompt under every row of a plan, from every source.

    Args:
        asked: prompts, those that only serve as sources last.
        sources: which prompt each one is patched from; its rows are the prompts that
            are patched.
        metrics: pure module-level functions of an `Outcome`, by name.
        full_vocabulary: whether losses can be asked for; without, only the answers'
            logits are computed.
        prompts_at_once: prompts of a chunk, side by side.
        rows_at_once: rows of a prompt and source that advance together, each counted
            as the tokens that it runs over; by default as many as fit into memory.
        by_full_passes: run the oracle, one full pass per row, in place of the resumed
            pass.
        folder: where finished chunks are kept, as parts of the table `name`.
        track: wraps the chunks, for a bar.
        say: is told the `estimate` before anything runs.
    """
    count = len(sources.index) if isinstance(sources, Sources) else len(asked)
    _check(asked, plan, sources, direction, count)
    kinds = sources.index.shape[1] if isinstance(sources, Sources) else 1
    longest = max(len(prompt.ids) for prompt in asked)
    is_large = rows_at_once is None and may_not_fit(
        config, plan, prompts=prompts_at_once, sources=kinds, tokens=longest
    )
    if not by_full_passes and (say or is_large):
        planned = estimate(
            parameters, asked, plan, sources, config=config, direction=direction,
            full_vocabulary=full_vocabulary, prompts_at_once=prompts_at_once,
            rows_at_once=rows_at_once,
        )  # fmt: skip
        # Hosts have to run the same, however much of their memory is free.
        rows = sharding.on_first_host(str(planned.rows_at_once).encode)
        rows_at_once = int(rows)
        if say and sharding.is_first_host():
            say(str(planned))
    bank = fill_bank(parameters, asked, plan, config, prompts_at_once)
    if isinstance(sources, Sources):
        check_that_sources_differ(bank, sources)
    run = _Sweep(
        parameters=parameters, asked=asked, plan=plan, sources=sources, bank=bank,
        config=config, metrics=tuple(metrics.items()), direction=direction,
        full_vocabulary=full_vocabulary, rows_at_once=rows_at_once,
        by_full_passes=by_full_passes,
    )  # fmt: skip
    chunks = [
        np.arange(i, min(i + prompts_at_once, count))
        for i in range(0, count, prompts_at_once)
    ]
    if folder is None:
        found = list(sharding.run_chunks(chunks, run.chunk, track=track))
        joined = {m: np.concatenate([v[m] for v in found]) for m in metrics}
    else:
        columns = functools.partial(_columns, run)
        read = folder.complete(name, chunks, run.chunk, columns, track=track)
        shape = (count, len(run.kinds), len(plan.births))
        joined = {m: read[m].reshape(*shape, *read[m].shape[1:]) for m in metrics}
    return _table(run, np.arange(count), joined)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Sweep:
    """All that is the same for every chunk."""

    parameters: Parameters
    asked: Sequence[TokenisedPrompt]
    plan: Plan
    sources: Sources | Ablation
    bank: Bank
    config: ModelConfig
    metrics: tuple[tuple[str, Metric], ...]
    direction: Direction
    full_vocabulary: bool
    rows_at_once: int | None
    by_full_passes: bool

    @property
    def kinds(self) -> tuple[str, ...]:
        if isinstance(self.sources, Sources):
            return self.sources.kinds
        return (self.sources.name.lower(),)

    def chunk(self, chunk: np.ndarray) -> dict[str, Array]:
        """Returns each metric of some prompts, `[prompt, source, row, …]`."""
        clean = batch_of([self.asked[i] for i in chunk])
        if isinstance(self.sources, Ablation):
            held = self._constant(len(chunk))
            return self._measure(clean, clean, self._here(chunk), held, None, chunk)
        index = self.sources.index[chunk]
        if self.direction is Direction.NOISE:
            plan = _read_from(self._here(chunk), self.plan, index)
            held = jax.tree.map(lambda a: jnp.asarray(a[:, index]), self.bank.held)
            return self._measure(clean, clean, plan, held, index, chunk)
        # Every source is a prompt of its own, patched from the one clean prompt.
        flat, owner = index.reshape(-1), np.repeat(chunk, index.shape[1])
        patched = batch_of([self.asked[i] for i in flat])
        owners = batch_of([self.asked[i] for i in owner])
        plan = _read_from(self._here(flat), self.plan, owner[:, None])
        held = jax.tree.map(lambda a: jnp.asarray(a[:, owner[:, None]]), self.bank.held)
        found = self._measure(patched, owners, plan, held, owner[:, None], flat)
        return {
            name: value[:, 0].reshape(*index.shape, *value.shape[2:])
            for name, value in found.items()
        }

    def _here(self, prompts: np.ndarray) -> Plan:
        return self.plan.of(prompts) if isinstance(self.plan, Patches) else self.plan

    def _constant(self, prompts: int):
        """Zeros, or the mean of the bank, as if from one more prompt."""

        def constant(a):
            value = a.mean(axis=1) if self.sources is Ablation.MEAN else 0 * a[:, 0]
            shape = (len(value), prompts, 1, *value.shape[1:])
            return jnp.broadcast_to(jnp.asarray(value)[:, None, None], shape)

        return jax.tree.map(constant, self.bank.held)

    def _measure(self, patched, clean, plan, held, source, own):
        """Runs a batch and reduces it. `own` and `source` are places in the bank."""
        if self.by_full_passes:
            final = run_fully(
                self.parameters,
                patched.ids,
                patched.lengths,
                held,
                plan,
                config=self.config,
            )
        else:
            start = prefill(
                self.parameters,
                patched.ids,
                patched.lengths,
                config=self.config,
                suffix=plan.suffix,
            )
            final = resume(
                self.parameters,
                start,
                held,
                plan,
                config=self.config,
                rows_at_once=self.rows_at_once,
            ).final
        read = functools.partial(
            read_answers,
            self.parameters.unembed,
            answer_ids=clean.answer_ids,
            config=self.config,
            full_vocabulary=self.full_vocabulary,
        )
        before = read(jnp.asarray(self.bank.final[own]))
        other = None if source is None else read(jnp.asarray(self.bank.final[source]))
        return _reduce(read(final), before, other, clean.gold, metrics=self.metrics)


@functools.partial(jax.jit, static_argnames="metrics")
def _reduce(patched, unpatched, source, gold, *, metrics):
    """Every metric of every row, `[prompt, source, row, …]`."""

    def one(patched, unpatched, source, gold):
        outcome = Outcome(
            patched=_answers(patched),
            unpatched=_answers(unpatched),
            source=None if source is None else _answers(source),
            gold=gold,
        )
        return {name: metric(outcome) for name, metric in metrics}

    over_rows = jax.vmap(one, in_axes=(0, None, None, None))
    over_sources = jax.vmap(over_rows, in_axes=(0, None, 0, None))
    return jax.vmap(over_sources)(patched, unpatched, source, gold)


def _answers(read: tuple[Array, Array | None]) -> Answers:
    return Answers(logits=read[0], log_normaliser=read[1])


def _read_from(here: Plan, plan: Plan, index: np.ndarray) -> Plan:
    """A plan whose places differ by prompt reads each source at the source's own."""
    if isinstance(here, NodeSets) or isinstance(plan, NodeSets):
        return here
    if len(plan.offsets) == 1 or plan.source_offsets is not None:
        return here
    return dataclasses.replace(here, source_offsets=plan.offsets[index])


def _columns(run: _Sweep, chunk: np.ndarray, values) -> dict[str, np.ndarray]:
    return _table(run, chunk, values).columns()


def _table(run: _Sweep, chunk: np.ndarray, values) -> SweepTable:
    asked = [run.asked[i] for i in chunk]
    return SweepTable(
        values=values,
        prompts={
            "prompt": chunk,
            "question": np.array([p.question for p in asked]),
            "rotation": np.array([p.rotation for p in asked]),
            "subject": np.array([p.subject for p in asked]),
            "gold": np.array([p.gold for p in asked]),
        },
        sources=run.kinds,
        rows=run.plan.labels,
    )


def _check(asked, plan: Plan, sources, direction: Direction, count: int) -> None:
    if not asked or not count:
        raise ValueError("no prompts to patch; give at least one.")
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
    if isinstance(plan, NodeSets):
        return
    if len(plan.offsets) not in (1, len(asked)):
        raise ValueError(
            f"the plan has places for {len(plan.offsets)} prompts, and {len(asked)} "
            "are asked; give one row of places, or one for every prompt."
        )
    if plan.site is Site.PATTERN and isinstance(sources, Sources):
        lengths = np.array([len(p.ids) for p in asked])
        if (lengths[: len(sources.index), None] != lengths[sources.index]).any():
            raise ValueError(
                "a pattern can be patched only from a prompt of the same length; "
                "choose such sources."
            )
