"""`ChunkWork`: some prompts patched under every row of a plan, reduced to metrics."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mcq_jax import sharding
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.passes.answers import read_answers
from mcq_jax.passes.full_pass import run_fully, see_fully
from mcq_jax.passes.plan import Plan
from mcq_jax.passes.prompt_pass import Prefill, prefill
from mcq_jax.passes.resumed_pass import resume
from mcq_jax.passes.shared_prefix import Prefix
from mcq_jax.prompts import TokenisedPrompt, batch_of
from mcq_jax.sharding import Chunk
from mcq_jax.sweeps.bank import Bank
from mcq_jax.sweeps.outcomes import (
    Answers,
    Metric,
    MetricFunction,
    Outcome,
    reads_of,
)
from mcq_jax.sweeps.reads import (
    all_reads,
    at_ends,
    seen_unpatched,
    seen_unpatched_fully,
)
from mcq_jax.sweeps.sources import Ablation, Direction, Sources


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChunkWork:
    """All that is the same for every chunk of a sweep; called with a chunk."""

    parameters: Parameters
    asked: Sequence[TokenisedPrompt]
    plan: Plan
    sources: Sources | Ablation
    bank: Bank
    config: ModelConfig
    metrics: tuple[tuple[str, MetricFunction], ...]
    direction: Direction
    full_vocabulary: bool
    rows_at_once: int | None
    # How many chunks there are in all.
    repeats: int
    by_full_passes: bool
    # What comes before every prompt of `asked`.
    prefix: Prefix | None = None
    # Type of what flows between weights, if not theirs.
    activations: jnp.dtype | None = None

    def __call__(self, chunk: Chunk) -> dict[str, Array]:
        """Returns each metric of some prompts, `[prompt, source, row, …]`."""
        clean = batch_of([self.asked[i] for i in chunk])
        if isinstance(self.sources, Ablation):
            held = self._with_own(self._constant(len(chunk)), chunk)
            return self._measure(clean, clean, self.plan.of(chunk), held, None, chunk)
        index = self.sources.index[chunk]
        if self.direction is Direction.NOISE:
            plan = self.plan.of(chunk).read_from(index, self.plan)
            held = self._held(index, chunk)
            return self._measure(clean, clean, plan, held, index, chunk)
        # Every source is a prompt of its own, patched from the one clean prompt.
        flat, owner = index.reshape(-1), np.repeat(chunk, index.shape[1])
        patched = batch_of([self.asked[i] for i in flat])
        owners = batch_of([self.asked[i] for i in owner])
        plan = self.plan.of(flat).read_from(owner[:, None], self.plan)
        held = self._held(owner[:, None], flat)
        found = self._measure(patched, owners, plan, held, owner[:, None], flat)
        return {
            name: value[:, 0].reshape(*index.shape, *value.shape[2:])
            for name, value in found.items()
        }

    def _held(self, index: np.ndarray, own: np.ndarray):
        """What other prompts hold at the patched sites, by `[prompt, source]`."""
        held = self._with_own({s: a[:, index] for s, a in self.bank.held.items()}, own)
        return sharding.place_over_data(held, axes=(1, 2))

    def _with_own(self, held, own: np.ndarray):
        """With what the patched prompts hold in front, if the plan takes it."""
        if not self.plan.takes_own:
            return held
        return {
            site: np.concatenate(
                [np.broadcast_to(self.bank.held[site][:, own, None], a.shape), a],
                axis=3 + site.position_axis,
            )
            for site, a in held.items()
        }

    def _constant(self, prompts: int):
        """Zeros, or the mean of the bank, as if from one more prompt."""

        def constant(a):
            value = a.mean(axis=1) if self.sources is Ablation.MEAN else 0 * a[:, 0]
            shape = (len(value), prompts, 1, *value.shape[1:])
            return jnp.broadcast_to(jnp.asarray(value)[:, None, None], shape)

        return jax.tree.map(constant, self.bank.held)

    def _measure(self, patched, clean, plan, held, source, own):
        """Runs a batch and reduces it. `own` and `source` are places in the bank."""
        before_all = 0 if self.prefix is None else self.prefix.length
        reads = all_reads(dict(self.metrics))
        reads = at_ends(reads, before_all + np.asarray(patched.lengths), own)
        final, seen, unseen = self._run(patched, plan, held, reads, own)
        read = functools.partial(
            read_answers,
            self.parameters.unembedding,
            answer_ids=clean.answer_ids,
            config=self.config,
            full_vocabulary=self.full_vocabulary,
        )
        before = read(jnp.asarray(self.bank.final[own]))
        other = None if source is None else read(jnp.asarray(self.bank.final[source]))
        functions = tuple(
            (
                name,
                metric.function if isinstance(metric, Metric) else metric,
                tuple(wish.site for wish in reads_of(metric)),
            )
            for name, metric in self.metrics
        )
        return _reduce(
            (read(final), seen), (before, unseen), other, clean.gold, metrics=functions
        )

    def _run(self, patched, plan: Plan, held, reads, own):
        """The final residuals of all rows; what is read of them, and of the prompts."""
        everything = (self.parameters, patched.ids, patched.lengths, held, plan)
        if self.by_full_passes:
            return (
                run_fully(*everything, config=self.config),
                see_fully(*everything, reads, config=self.config),
                seen_unpatched_fully(self.parameters, patched.ids, reads, self.config),
            )
        start = self._start(patched, plan, own)
        run = resume(
            self.parameters,
            start,
            held,
            plan,
            config=self.config,
            capture=reads,
            rows_at_once=self.rows_at_once,
            repeats=self.repeats,
        )
        unseen = seen_unpatched(self.parameters, start, reads, self.config)
        return run.final, run.seen, unseen

    def _start(self, patched, plan: Plan, own) -> Prefill:
        """The pass over the patched prompts, which may be that of the bank."""
        if self.bank.run is not None:
            return self.bank.run.take(own)
        return prefill(
            self.parameters,
            patched.ids,
            patched.lengths,
            config=self.config,
            suffix=plan.suffix,
            prefix=self.prefix,
            activations=self.activations,
            repeats=self.repeats,
        )


@functools.partial(jax.jit, static_argnames="metrics")
def _reduce(patched, unpatched, source, gold, *, metrics):
    """Every metric of every row, `[prompt, source, row, …]`.

    Args:
        patched: answers, and what is read of each row, `[layer, prompt, source, row,
            …]`; unpatched: the same without sources and rows.
        metrics: names, functions, and the sites that each of them reads.
    """

    def one(patched, unpatched, source, gold):
        (patched, seen), (unpatched, unseen) = patched, unpatched
        found, first = {}, 0
        for name, function, sites in metrics:
            mine = slice(first, first + len(sites))
            first = mine.stop
            outcome = Outcome(
                patched=_answers(patched, zip(sites, seen[mine], strict=True)),
                unpatched=_answers(unpatched, zip(sites, unseen[mine], strict=True)),
                source=None if source is None else _answers(source),
                gold=gold,
            )
            found[name] = function(outcome)
        return found

    over_rows = jax.vmap(one, in_axes=((0, 1), None, None, None))
    over_sources = jax.vmap(over_rows, in_axes=((0, 1), None, 0, None))
    over_prompts = jax.vmap(over_sources, in_axes=((0, 1), (0, 1), 0, 0))
    return over_prompts(patched, unpatched, source, gold)


def _answers(read: tuple[Array, Array | None], seen=()) -> Answers:
    return Answers(logits=read[0], log_normaliser=read[1], seen=dict(seen))
