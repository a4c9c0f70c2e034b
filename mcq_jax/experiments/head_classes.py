"""E5: what kind of head each head is, from where it looks and what that does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import metrics, passes, sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.node_effects import Bank, per_node
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.study import Study
from mcq_jax.prompts import KeyClass, batch_of
from mcq_jax.results import HeadFound


def classify(
    checkpoint: Checkpoint,
    study: Study,
    bank: Bank,
    effects: metrics.NodeEffects,
    difference: float,
    progress: Progress,
    *,
    thresholds: metrics.Thresholds,
) -> tuple[tuple[metrics.HeadClass, ...], metrics.HeadEvidence]:
    """Returns every head's class and the evidence for it.

    Correct-letter heads are found first; resampling them together then shows which
    heads only amplify what they wrote.
    """
    evidence = _evidence(study, bank, effects, difference, None)
    first = metrics.classify_heads(evidence, thresholds)
    letter_heads = [h for h in first if h.name in ("correct_letter", "letter_specific")]
    if not letter_heads:
        return first, evidence
    mask = np.zeros((checkpoint.config.layers, checkpoint.config.nodes), bool)
    for head in letter_heads:
        mask[head.layer, head.head] = True
    resampled = _resampled_direct_effect(checkpoint, study, bank, mask, progress)
    # What is resampled itself falls for that reason alone, and amplifies nothing.
    own = per_node(effects.direct).mean(axis=0)
    resampled = np.where(mask, own, resampled)
    evidence = _evidence(study, bank, effects, difference, resampled[:, :-1])
    return metrics.classify_heads(evidence, thresholds), evidence


def describe(
    classes: tuple[metrics.HeadClass, ...],
    evidence: metrics.HeadEvidence,
    bank: Bank,
    study: Study,
) -> tuple[HeadFound, ...]:
    """Returns the heads that have a class, as findings."""
    mass = bank.anatomy.class_attention[: len(study.gold)].mean(axis=0)
    return tuple(
        HeadFound(
            name=f"L{found.layer}H{found.head}",
            layer=found.layer,
            head=found.head,
            head_class=found.name,
            label_mass=found.label_mass,
            follows=found.follows,
            gold_by_attended=tuple(
                tuple(row)
                for row in evidence.label_share[:, found.layer, found.head].tolist()
            ),
            mass_by_class={
                key.name.lower(): float(mass[found.layer, found.head, key])
                for key in KeyClass
            },
            reason=(
                f"label mass {found.label_mass:.2f}, OV margin {found.ov_margin:+.2f}, "
                f"direct effect {found.direct_effect:+.3f}"
                + (f"; also {', '.join(found.also)}" if found.also else "")
            ),
        )
        for found in classes
        if found.name != "other"
    )


def _evidence(study, bank, effects, difference, resampled) -> metrics.HeadEvidence:
    studied = slice(len(study.gold))
    anatomy = bank.anatomy
    writes = anatomy.label_writes[studied].mean(axis=0)
    return metrics.head_evidence(
        anatomy.label_attention[studied],
        study.gold,
        ov_margin=metrics.ov_margin(writes),
        direct_effect=per_node(effects.direct)[:, :, :-1].mean(axis=0),
        total_difference=difference,
        resampled_direct_effect=resampled,
        content_attention=anatomy.content_attention[studied],
        late_attention=anatomy.class_attention[studied, :, :, KeyClass.CUE],
    )


def _resampled_direct_effect(
    checkpoint: Checkpoint,
    study: Study,
    bank: Bank,
    mask: np.ndarray,
    progress: Progress,
) -> np.ndarray:
    """Mean direct effect of every node while the masked nodes are resampled."""
    config, parameters = checkpoint.config, checkpoint.parameters
    node_sets = passes.NodeSets(mask[None])

    def resample(chunk):
        batch = batch_of([study.prompts[i] for i in chunk])
        start = passes.prefill(parameters, batch.ids, batch.lengths, config=config)
        sources = bank.sources(study.sources.index[chunk, :1])
        run = passes.resume(
            parameters, start, sources, node_sets, config=config, keep_nodes=True
        )
        assert run.nodes is not None
        readout = bank.readout_of(chunk)
        patched, source = (
            passes.contributions(parameters, nodes, readout, config=config)[0]
            for nodes in (
                jax.tree.map(lambda a: a[:, :, 0, 0], run.nodes),
                jax.tree.map(lambda a: a[:, :, 0], sources),
            )
        )
        over_prompts = jax.vmap(metrics.direct_effect)
        gold = jnp.asarray(study.gold[chunk])
        return over_prompts(patched, source[:, None], gold)[:, 0]

    track = functools.partial(progress.track, name="resampling letter heads")
    effects = sharding.run_chunks(study.chunks, resample, track=track)
    return np.concatenate(list(effects)).mean(axis=0)
