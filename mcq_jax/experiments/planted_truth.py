"""What was planted against what was found: the tool's own test of itself."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import planted, prompts
from mcq_jax.experiments.earlier_positions import EarlierPositions, changes_of
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.node_effects import bank_of, patched_of
from mcq_jax.experiments.prompt_set import load_questions
from mcq_jax.interventions import Node, all_nodes
from mcq_jax.prompts import Question
from mcq_jax.results import HeadClassesFindings, PlantedTruthFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# Effects count from this share of the largest answer logit's spread on; planted effects
# are either far above it or zero but for rounding.
NEGLIGIBLE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlantedTruth(Experiment):
    """Compares what was found with what was planted; only of planted models."""

    name = "planted_truth"
    findings = PlantedTruthFindings
    needs = ("node_effects", "head_classes")
    uses = ("earlier_positions",)

    def applies(self, lab: "Lab") -> bool:
        return lab.truth is not None and lab.config.questions == "planted"

    def run(self, lab: "Lab") -> PlantedTruthFindings:
        questions = {q.id: q for q in load_questions(lab.config)}
        return compare(lab, questions)


def compare(lab: "Lab", questions: dict[str, Question]) -> PlantedTruthFindings:
    """Returns the four sets of nodes and the head classes, planted and found.

    output: writes to an answer logit at the answer position; upstream_last: does not,
    but changes one when patched there; upstream_elsewhere: only when patched at earlier
    positions; inert: none of these.
    """
    study, bank, patched = lab.studied, bank_of(lab), patched_of(lab)
    truth = lab.truth
    assert truth is not None
    studied = len(study.gold)
    contributions = bank.anatomy.contributions[:studied]
    clean = bank.answer_logits[:studied]
    scale = float(np.ptp(clean, axis=1).max())
    change = np.abs(patched.patched_logits - clean[:, None, None, None])
    writes = np.abs(contributions).max(axis=(0, 3)) > NEGLIGIBLE * scale
    matters = change.max(axis=(0, 1, 4)) > NEGLIGIBLE * scale
    earlier = _earlier(lab, writes.shape) > NEGLIGIBLE * scale
    sets = {
        "output": writes,
        "upstream_last": ~writes & matters,
        "upstream_elsewhere": ~writes & ~matters & earlier,
        "inert": ~writes & ~matters & ~earlier,
    }
    heads = lab.checkpoint.config.heads
    nodes = all_nodes(lab.checkpoint.config.layers, heads)
    found = {
        role: tuple(str(n) for n in nodes if mask[n.layer, n.column(heads)])
        for role, mask in sets.items()
    }
    roles = {role: _names(getattr(truth, role)) for role in sets}
    heads_found = lab.findings(HeadClassesFindings).heads
    shape = (lab.checkpoint.config.layers, heads)
    classes = {f"L{layer}H{head}": "other" for layer, head in np.ndindex(shape)}
    classes |= {head.name: head.head_class for head in heads_found}
    planned = {str(node): name for node, name in sorted(truth.classes.items())}
    error = _largest_error(lab, questions) / scale
    return PlantedTruthFindings(
        planted=roles,
        found=found,
        classes_planted=planned,
        classes_found=classes,
        largest_error=error,
        agrees=roles == found and planned == classes and error < 1e-4,
    )


def _earlier(lab: "Lab", shape: tuple[int, int]) -> np.ndarray:
    """Largest change of an answer by each node at earlier positions; 0 if not run."""
    for experiment in lab.config.experiments:
        if isinstance(experiment, EarlierPositions):
            return changes_of(lab, experiment.questions)
    return np.zeros(shape)


def _largest_error(lab: "Lab", questions: dict[str, Question]) -> float:
    """Largest gap to what follows from the recipe, in logits.

    Of contributions, of sources' contributions, and of logits with a node patched: all
    effects are sums and differences of these.
    """
    study, bank, patched = lab.studied, bank_of(lab), patched_of(lab)
    truth, labels = lab.truth, lab.prompts.labels
    assert truth is not None
    facts = [
        planted.facts(
            prompts.rotations(questions[p.question])[p.rotation], labels=labels
        )
        for p in study.prompts
    ]
    gaps = [0.0]
    for index, own in enumerate(facts[: len(study.gold)]):
        measured = bank.anatomy.contributions[index]
        gaps.append(np.abs(measured - truth.contributions(own)).max())
        for kind, source in enumerate(study.sources.index[index]):
            written = patched.source_contributions[index, kind]
            expected = truth.contributions(facts[source], read_as=own)
            gaps.append(np.abs(written - expected).max())
            expected = truth.patched_logits(own, facts[source])
            gaps.append(np.abs(patched.patched_logits[index, kind] - expected).max())
    return float(max(gaps))


def _names(nodes: frozenset[Node]) -> tuple[str, ...]:
    last = 10**9  # the MLP comes after its layer's heads, as in node arrays
    order = sorted(nodes, key=lambda n: (n.layer, last if n.head is None else n.head))
    return tuple(str(node) for node in order)
