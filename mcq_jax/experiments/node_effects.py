"""What every head and feed-forward block does, directly and in total.

First every studied prompt is taken apart once (contributions, attention, and a bank of
what its nodes write); then every node of every prompt is patched from sources of each
kind by the resumed pass. A chunk that is finished is on disk.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mcq_jax import metrics, passes, sharding, sweeps
from mcq_jax.axes import AnyArray
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Site, all_nodes
from mcq_jax.model.arithmetic import soft_cap
from mcq_jax.prompts import KeyClass, batch_of
from mcq_jax.results import Estimate, NodeEffectsFindings, NodeFound

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeEffects(Experiment):
    """Patches every node at the answer position, one at a time, from every source."""

    name = "node_effects"
    findings = NodeEffectsFindings
    needs = ("behaviour",)

    def run(self, lab: "Lab") -> NodeEffectsFindings:
        study, bank = lab.studied, bank_of(lab)
        return NodeEffectsFindings(
            nodes=_nodes(lab, effects_of(lab)),
            conservation_error=bank.conservation_error,
            questions=len(set(study.question.tolist())),
            prompts=len(study.gold),
        )


def bank_of(lab: "Lab") -> "Bank":
    """Returns all studied prompts taken apart, once per run."""
    return lab.once("bank", lambda: _fill_bank(lab))


def patched_of(lab: "Lab") -> "Effects":
    """Returns the answers with each node patched, from the run's table."""
    return lab.once("patched", lambda: _patch_every_node(lab))


def effects_of(lab: "Lab") -> metrics.NodeEffects:
    """Returns all effects of all nodes, each `[prompt, kind, layer, node]`."""
    return lab.once(
        "effects", lambda: measure(lab.studied, bank_of(lab), patched_of(lab))
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bank:
    """All prompts of a study taken apart; each is a possible source of the others."""

    # What every node writes at the answer position, [layer, prompt, …].
    nodes: dict[Site, np.ndarray]
    anatomy: passes.Anatomy  # numpy, [prompt, …]
    readout: passes.Readout  # numpy, [prompt, …]
    answer_logits: np.ndarray  # [prompt, choice]
    log_normaliser: np.ndarray  # [prompt]
    # The model's cap on logits; contributions add up to what comes before it.
    logit_cap: float | None

    def sources(self, index: Int[np.ndarray, "prompt source"]) -> passes.Held:
        """Returns what `[prompt, source]` wrote, `[layer, prompt, source, 1, …]`."""
        held = {site: a[:, index][:, :, :, None] for site, a in self.nodes.items()}
        return sharding.place_over_data(held, axes=(1, 2))

    def readout_of(self, prompts: np.ndarray) -> passes.Readout:
        """Returns how some prompts read their answers."""
        return jax.tree.map(lambda a: jnp.asarray(a[prompts]), self.readout)

    @property
    def conservation_error(self) -> float:
        """Largest |sum of all contributions - logit| over prompts and answers."""
        total = self.anatomy.contributions.sum((1, 2)) + self.anatomy.rest
        total = sharding.on_every_host(soft_cap(jnp.asarray(total), self.logit_cap))
        return float(np.abs(total - self.answer_logits).max())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effects:
    """The table `effects` as dense arrays over the studied prompts."""

    source_contributions: Float[np.ndarray, "prompt kind layer node choice"]
    patched_logits: Float[np.ndarray, "prompt kind layer node choice"]
    patched_log_normaliser: Float[np.ndarray, "prompt kind layer node"]


def _fill_bank(lab: "Lab") -> Bank:
    """Runs every prompt of the study once and takes it apart."""
    checkpoint, study = lab.checkpoint, lab.studied
    rest = np.arange(len(study.gold), len(study.prompts))
    chunks = [*study.chunks, *np.array_split(rest, -(-len(rest) // 4) or 1)]
    chunks = [chunk for chunk in chunks if len(chunk)]
    parts = sharding.run_chunks(
        chunks,
        functools.partial(_take_apart, checkpoint, study),
        track=lab.track("taking prompts apart"),
    )
    order = np.argsort(np.concatenate(chunks))
    nodes, anatomy, readout, logits, normaliser = jax.tree.map(
        lambda *a: np.concatenate(a)[order], *parts
    )
    return Bank(
        nodes=jax.tree.map(lambda a: np.ascontiguousarray(a.swapaxes(0, 1)), nodes),
        anatomy=anatomy,
        readout=readout,
        answer_logits=logits,
        log_normaliser=normaliser,
        logit_cap=checkpoint.config.logit_cap,
    )


def _patch_every_node(lab: "Lab") -> Effects:
    checkpoint, study, bank = lab.checkpoint, lab.studied, bank_of(lab)
    config = checkpoint.config
    resume = resume_in_pieces(
        checkpoint, study, sweeps.every_node(config), study.sources, study.chunks
    )
    kept = lab.table("node_effects", study.identity)
    table = kept.complete(
        study.chunks,
        functools.partial(_patch_nodes, checkpoint, study, bank, resume),
        functools.partial(_columns, checkpoint, study, bank),
        track=lab.track("patching nodes"),
    )
    shape = (-1, len(study.sources.kinds), config.layers, config.nodes)
    order = np.argsort(np.concatenate(study.chunks))

    def dense(name):
        return table[name].reshape(*shape, *table[name].shape[1:])[order]

    return Effects(
        source_contributions=dense("source_contribution"),
        patched_logits=dense("patched_logits"),
        patched_log_normaliser=dense("patched_log_normaliser"),
    )


def resume_in_pieces(
    checkpoint: Checkpoint,
    study: Study,
    plan: passes.NodeSets,
    sources: sweeps.Sources,
    chunks: Sequence[sharding.Chunk],
) -> Callable[[passes.Prefill, passes.Held], passes.Resumed]:
    """Returns `passes.resume` of a plan, in pieces that fit."""
    config = checkpoint.config
    rows_at_once = sweeps.rows_that_fit(
        checkpoint.parameters, study.prompts, plan, sources, config=config,
        prompts_at_once=max(map(len, chunks)),
    )  # fmt: skip
    return lambda start, held: passes.resume(
        checkpoint.parameters, start, held, plan, config=config,
        rows_at_once=rows_at_once, repeats=len(chunks),
    )  # fmt: skip


def measure(study: Study, bank: Bank, effects: Effects) -> metrics.NodeEffects:
    """Returns all effects of all nodes, each `[prompt, kind, layer, node]`."""
    studied = len(study.gold)

    def one(contributions, effects, logits, normaliser, gold):
        return metrics.node_effects(
            contributions,
            *effects,
            answer_logits=logits,
            log_normaliser=normaliser,
            gold=gold,
        )

    found = jax.jit(jax.vmap(one))(
        bank.anatomy.contributions[:studied],
        tuple(getattr(effects, f.name) for f in dataclasses.fields(effects)),
        bank.answer_logits[:studied],
        bank.log_normaliser[:studied],
        study.gold,
    )
    return sharding.on_every_host(found)


def per_node(effect: AnyArray) -> Float[np.ndarray, "prompt layer node"]:
    """Returns an effect for the headline kind of source, the first."""
    return np.asarray(effect)[:, 0]


def _take_apart(checkpoint: Checkpoint, study: Study, chunk: np.ndarray):
    """What a bank has of some prompts, each array `[prompt, …]`."""
    parameters, config = checkpoint.parameters, checkpoint.config
    batch = batch_of([study.prompts[i] for i in chunk])
    run = passes.prefill(parameters, batch.ids, batch.lengths, config=config)
    readout = passes.answer_readout(parameters, run, batch.answer_ids, config=config)
    is_content = np.isin(batch.key_class, (KeyClass.OPTION, KeyClass.LINE_END))
    keys = passes.Keys(
        batch.label_positions, batch.key_class, batch.key_option, is_content
    )
    anatomy = passes.dissect(
        parameters, run, readout, keys, key_classes=len(KeyClass), config=config
    )
    answers = passes.read_answers(
        parameters.unembedding, run.final, batch.answer_ids, config=config
    )
    nodes = jax.tree.map(lambda a: a.swapaxes(0, 1), run.nodes)
    return nodes, anatomy, readout, *answers


def _patch_nodes(
    checkpoint: Checkpoint, study: Study, bank: Bank, resume, chunk: np.ndarray
):
    """What sources contribute, and answers with a node patched: [prompt, kind, …]."""
    parameters, config = checkpoint.parameters, checkpoint.config
    batch = batch_of([study.prompts[i] for i in chunk])
    start = passes.prefill(parameters, batch.ids, batch.lengths, config=config)
    sources = bank.sources(study.sources.index[chunk])
    patched = passes.read_answers(
        parameters.unembedding,
        resume(start, sources).final,
        batch.answer_ids,
        config=config,
    )
    readout = bank.readout_of(chunk)
    from_sources = [
        passes.contributions(
            parameters,
            jax.tree.map(lambda a: a[:, :, kind, 0], sources),  # noqa: B023
            readout,
            config=config,
        )[0]
        for kind in range(len(study.sources.kinds))
    ]
    return jnp.stack(from_sources, 1), *patched


def _columns(checkpoint, study, bank, chunk, found) -> dict[str, np.ndarray]:
    """One row per prompt × kind × node, in this order."""
    config, kinds = checkpoint.config, study.sources.kinds
    nodes = all_nodes(config.layers, config.heads)
    from_sources, logits, normaliser = found
    shape = (len(chunk), len(kinds), len(nodes))

    def spread(values, axis):
        values = np.asarray(values)
        values = values.reshape([-1 if i == axis else 1 for i in range(3)])
        return np.broadcast_to(values, shape).reshape(-1)

    def flat(array, axes):
        array = np.asarray(array, np.float32)
        return array.reshape(np.prod(shape), *array.shape[axes:])

    own = bank.anatomy.contributions[chunk][:, None]
    own = np.broadcast_to(own, (len(chunk), len(kinds), *own.shape[2:]))
    source = np.broadcast_to(study.sources.index[chunk][:, :, None], shape)
    return {
        "prompt": spread(chunk, 0),
        "question": spread(study.question[chunk], 0),
        "gold": spread(study.gold[chunk], 0),
        "source_kind": spread(kinds, 1),
        "source_prompt": source.reshape(-1),
        "node": spread([str(node) for node in nodes], 2),
        "layer": spread([node.layer for node in nodes], 2),
        "head": spread([-1 if n.head is None else n.head for n in nodes], 2),
        "contribution": flat(own, 4),
        "source_contribution": flat(from_sources, 4),
        "patched_logits": flat(logits, 3),
        "patched_log_normaliser": flat(normaliser, 3),
    }


def _nodes(lab: "Lab", effects: metrics.NodeEffects) -> tuple[NodeFound, ...]:
    study = lab.studied
    question, kinds = study.question, study.sources.kinds
    losses = {
        part: metrics.intervals(per_node(getattr(effects.loss, part)), question)
        for part in ("total", "outside", "inside")
    }
    direct, total = (
        {
            kind: metrics.intervals(np.asarray(effect)[:, index], question)
            for index, kind in enumerate(kinds)
        }
        for effect in (effects.direct, effects.total)
    )
    contributions = np.asarray(bank_of(lab).anatomy.contributions)[: len(study.gold)]
    readings = metrics.readings(metrics.gold_by_answer(contributions, study.gold))
    p_values = _p_values(per_node(effects.direct), question)
    heads = lab.checkpoint.config.heads
    rows = []
    for node in all_nodes(lab.checkpoint.config.layers, heads):
        at = (node.layer, node.column(heads))
        rows.append(
            NodeFound(
                name=str(node),
                layer=node.layer,
                head=-1 if node.head is None else node.head,
                direct={kind: _at(direct[kind], at) for kind in kinds},
                total={kind: _at(total[kind], at) for kind in kinds},
                loss=_at(losses["total"], at),
                loss_outside=_at(losses["outside"], at),
                loss_inside=_at(losses["inside"], at),
                promotion=float(readings.promotion[at]),
                letter_prior=tuple(readings.letter_prior[at].tolist()),
                selectivity=float(readings.selectivity[at]),
                p_value=float(p_values[at]),
            )
        )
    return tuple(rows)


def _p_values(direct: np.ndarray, question: np.ndarray) -> np.ndarray:
    """P-values adjusted over all nodes.

    What float32 cannot tell from 0 counts as 0: the same rounding in every prompt has
    the same sign, and would be significant.
    """
    is_rounding = np.abs(direct) < _ROUNDING * np.abs(direct).max()
    return metrics.max_statistic_p(np.where(is_rounding, 0.0, direct), question)


# As a share of the largest effect.
_ROUNDING = 1e-6


def _at(found: metrics.Intervals, at: tuple[int, int]) -> Estimate:
    return Estimate(
        mean=float(found.mean[at]),
        low=float(found.low[at]),
        high=float(found.high[at]),
        questions=found.n_questions,
    )
