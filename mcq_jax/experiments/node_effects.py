"""What every head and feed-forward block does, directly and in total.

First every studied prompt is taken apart once (contributions, attention, and a bank of
what its nodes write); then one sweep patches every node of every prompt from sources
of each kind. A chunk that is finished is on disk.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import metrics, passes, sharding, sweeps
from mcq_jax.axes import AnyArray
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Site, all_nodes
from mcq_jax.model.arithmetic import soft_cap
from mcq_jax.passes.shared_prefix import common_prefix
from mcq_jax.prompts import KeyClass, TokenisedPrompt, batch_of
from mcq_jax.results import NodeEffectsFindings, NodeFound

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
    final: np.ndarray  # [prompt, width], the residual stream after the last layer
    answer_logits: np.ndarray  # [prompt, choice]
    log_normaliser: np.ndarray  # [prompt]
    # The model's cap on logits; contributions add up to what comes before it.
    logit_cap: float | None

    def sources(self, index: Int[np.ndarray, "prompt source"]) -> passes.Held:
        """Returns what `[prompt, source]` wrote, `[layer, prompt, source, 1, …]`."""
        held = {site: a[:, index][:, :, :, None] for site, a in self.nodes.items()}
        return sharding.place_over_data(held, axes=(1, 2))

    @property
    def held(self) -> sweeps.Bank:
        """The same as a sweep of nodes takes it."""
        nodes = {site: a[:, :, None] for site, a in self.nodes.items()}
        return sweeps.Bank(held=nodes, final=self.final)

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
    """What patching came to, over the studied prompts."""

    source_contributions: Float[np.ndarray, "prompt kind layer node choice"]
    patched_logits: Float[np.ndarray, "prompt kind layer node choice"]
    patched_log_normaliser: Float[np.ndarray, "prompt kind layer node"]


def _fill_bank(lab: "Lab") -> Bank:
    """Runs every prompt of the study once and takes it apart."""
    checkpoint, study = lab.checkpoint, lab.studied
    rest = np.arange(len(study.gold), len(study.prompts))
    chunks = [*study.chunks, *np.array_split(rest, -(-len(rest) // 4) or 1)]
    chunks = [chunk for chunk in chunks if len(chunk)]
    prefix = common_prefix(
        checkpoint.parameters, study.prompts, config=checkpoint.config
    )

    def work(chunk: np.ndarray):
        asked = [study.prompts[i] for i in chunk]
        return take_apart(checkpoint, asked, prefix=prefix, repeats=len(chunks))

    track = lab.track("taking prompts apart")
    parts = sharding.run_chunks(chunks, work, track=track)
    order = np.argsort(np.concatenate(chunks))
    nodes, anatomy, readout, final, logits, normaliser = jax.tree.map(
        lambda *a: np.concatenate(a)[order], *parts
    )
    return Bank(
        nodes=jax.tree.map(lambda a: np.ascontiguousarray(a.swapaxes(0, 1)), nodes),
        anatomy=anatomy,
        readout=readout,
        final=final,
        answer_logits=logits,
        log_normaliser=normaliser,
        logit_cap=checkpoint.config.logit_cap,
    )


# What the patched prompts answer: all effects follow from it.
ANSWERS = {
    "patched_logits": sweeps.patched_logits,
    "patched_log_normaliser": sweeps.patched_log_normaliser,
}


def _patch_every_node(lab: "Lab") -> Effects:
    study, bank, config = lab.studied, bank_of(lab), lab.checkpoint.config
    table = lab.sweep(
        "node_effects", sweeps.every_node(config), study.sources, metrics=ANSWERS,
        chunks=study.chunks, bank=bank.held, track=lab.track("patching nodes"),
    )  # fmt: skip
    order = np.argsort(table.prompts["prompt"])

    def by_node(name: str) -> np.ndarray:
        value = table.values[name][order]
        shape = (*value.shape[:2], config.layers, config.nodes, *value.shape[3:])
        return value.reshape(shape)

    return Effects(
        source_contributions=_source_contributions(lab, bank),
        patched_logits=by_node("patched_logits"),
        patched_log_normaliser=by_node("patched_log_normaliser"),
    )


def _source_contributions(lab: "Lab", bank: Bank) -> np.ndarray:
    """What each source's nodes contribute, read as the prompt reads its answers."""
    study, kinds = lab.studied, range(len(lab.studied.sources.kinds))

    def contribute(chunk: np.ndarray) -> Array:
        readout, sources = (
            bank.readout_of(chunk),
            bank.sources(study.sources.index[chunk]),
        )
        return jnp.stack([
            passes.contributions(
                lab.checkpoint.parameters,
                {site: a[:, :, kind, 0] for site, a in sources.items()},
                readout,
                config=lab.checkpoint.config,
            )[0]
            for kind in kinds
        ], 1)  # fmt: skip

    found = np.concatenate(list(sharding.run_chunks(study.chunks, contribute)))
    return found[np.argsort(np.concatenate(study.chunks))]


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


def take_apart(
    checkpoint: Checkpoint,
    asked: Sequence[TokenisedPrompt],
    *,
    prefix: passes.Prefix | None = None,
    repeats: int = 1,
):
    """Returns what a bank has of some prompts, each array `[prompt, …]`.

    Args:
        prefix: what all of them begin with, if it was run already.
        repeats: how often this will be done with others.
    """
    parameters, config = checkpoint.parameters, checkpoint.config
    batch, behind = batch_of(asked), 0 if prefix is None else prefix.length
    run = passes.prefill(
        parameters, batch.ids[:, behind:], batch.lengths - behind, config=config,
        prefix=prefix, repeats=repeats,
    )  # fmt: skip
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
    return nodes, anatomy, readout, run.final, *answers


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
                direct={kind: direct[kind].at(at) for kind in kinds},
                total={kind: total[kind].at(at) for kind in kinds},
                loss=losses["total"].at(at),
                loss_outside=losses["outside"].at(at),
                loss_inside=losses["inside"].at(at),
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
