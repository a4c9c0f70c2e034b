"""What kind of head each head is, from where it looks and what that does."""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from mcq_jax import metrics, passes
from mcq_jax.axes import AnyArray
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.joint_tests import source_difference
from mcq_jax.experiments.node_effects import Bank, bank_of, effects_of, per_node
from mcq_jax.experiments.study import Study
from mcq_jax.prompts import KeyClass, batch_of
from mcq_jax.results import HeadClassesFindings, HeadFound

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# The classes whose heads match what was found to the labels.
LETTER_CLASSES = ("correct_letter", "letter_specific")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadClasses(Experiment):
    """Sorts heads by where they look from the answer position, and what that does."""

    name = "head_classes"
    findings = HeadClassesFindings
    needs = ("node_effects",)

    # What makes a head a correct-letter head, an amplifier, …; fixed before looking.
    thresholds: metrics.Thresholds = metrics.Thresholds()

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs  # which have no labels to look at

    def run(self, lab: "Lab") -> HeadClassesFindings:
        classes, evidence = classes_of(lab, self.thresholds)
        return HeadClassesFindings(
            heads=describe(classes, evidence, bank_of(lab), lab.studied)
        )


def classes_of(
    lab: "Lab", thresholds: metrics.Thresholds
) -> tuple[tuple[metrics.HeadClass, ...], metrics.HeadEvidence]:
    """Returns every head's class and the evidence for it, once per run."""
    return lab.once(("head classes", thresholds), lambda: _classify(lab, thresholds))


def _classify(
    lab: "Lab", thresholds: metrics.Thresholds
) -> tuple[tuple[metrics.HeadClass, ...], metrics.HeadEvidence]:
    """Correct-letter heads are found first; then what only amplifies what they wrote.

    For that they are resampled together.
    """
    evidence = evidence_of(lab)
    first = _classes(lab, evidence, thresholds)
    letter_heads = [h for h in first if h.name in LETTER_CLASSES]
    if not letter_heads:
        return first, evidence
    model = lab.checkpoint.config
    mask = np.zeros((model.layers, model.nodes), bool)
    for head in letter_heads:
        mask[head.layer, head.head] = True
    resampled = _resampled_direct_effect(lab, mask)
    # What is resampled itself falls for that reason alone, and amplifies nothing.
    own = per_node(effects_of(lab).direct).mean(axis=0)
    resampled = np.where(mask, own, resampled)
    evidence = evidence_of(lab, resampled[:, :-1])
    return _classes(lab, evidence, thresholds), evidence


def _classes(
    lab: "Lab", evidence: metrics.HeadEvidence, thresholds: metrics.Thresholds
) -> tuple[metrics.HeadClass, ...]:
    """What the first host calls the heads: at a threshold hosts could differ."""
    return lab.decide(
        tuple[metrics.HeadClass, ...],
        lambda: metrics.classify_heads(evidence, thresholds),
    )


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


def evidence_of(
    lab: "Lab",
    resampled: Float[np.ndarray, "layer head"] | None = None,
    *,
    prompts: Bool[np.ndarray, " studied"] | slice = slice(None),
) -> metrics.HeadEvidence:
    """Returns what classes go by, over the studied prompts or some of them.

    Args:
        resampled: mean direct effects while the correct-letter heads are resampled.
    """
    study, anatomy = lab.studied, bank_of(lab).anatomy

    def of(shares: AnyArray) -> np.ndarray:
        return np.asarray(shares)[: len(study.gold)][prompts]

    writes = of(anatomy.label_writes).mean(axis=0)
    direct = per_node(effects_of(lab).direct)[prompts]
    return metrics.head_evidence(
        of(anatomy.label_attention),
        study.gold[prompts],
        ov_margin=metrics.ov_margin(writes),
        direct_effect=direct[:, :, :-1].mean(axis=0),
        total_difference=float(source_difference(study, bank_of(lab))[prompts].mean()),
        resampled_direct_effect=resampled,
        content_attention=of(anatomy.content_attention),
        late_attention=of(anatomy.class_attention)[..., KeyClass.CUE],
    )


def _resampled_direct_effect(lab: "Lab", mask: np.ndarray) -> np.ndarray:
    """Mean direct effect of every node while the masked nodes are resampled."""
    study, bank = lab.studied, bank_of(lab)
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    node_sets = passes.NodeSets(mask[None])

    def resample(chunk):
        batch = batch_of([study.prompts[i] for i in chunk])
        start = passes.prefill(
            parameters, batch.ids, batch.lengths, config=config,
            repeats=len(study.chunks),
        )  # fmt: skip
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
                jax.tree.map(lambda a: a[:, :, 0, 0], sources),
            )
        )
        over_prompts = jax.vmap(metrics.direct_effect)
        gold = jnp.asarray(study.gold[chunk])
        return over_prompts(patched, source[:, None], gold)[:, 0]

    chunks, track = study.chunks, lab.track("resampling letter heads")
    kept = lab.table("head_classes", {**study.identity, "resampled": mask})
    table = kept.complete(chunks, resample, _columns, track=track)
    return table["direct_effect"].mean(axis=0)


def _columns(chunk, direct_effect) -> dict[str, np.ndarray]:
    return {"prompt": chunk, "direct_effect": direct_effect}
