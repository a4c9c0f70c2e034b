"""What was planted against what was found: the tool's own test of itself."""

from collections.abc import Sequence

import numpy as np

from mcq_jax import planted, prompts
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.interventions import Node, all_nodes
from mcq_jax.prompts import Question
from mcq_jax.results import PlantedFound

# Effects count from this share of the largest answer logit's spread on; planted effects
# are either far above it or zero but for rounding.
NEGLIGIBLE = 1e-3


def compare(
    truth: planted.Truth,
    questions: dict[str, Question],
    checkpoint: Checkpoint,
    explained,
    *,
    labels: Sequence[str],
) -> PlantedFound:
    """Returns the four sets of nodes and the head classes, planted and found.

    output: writes to an answer logit at the answer position; upstream_last: does not,
    but changes one when patched there; upstream_elsewhere: only when patched at earlier
    positions; inert: none of these.
    """
    study, bank, patched = explained.study, explained.bank, explained.patched
    studied = len(study.gold)
    contributions = bank.anatomy.contributions[:studied]
    clean = bank.answer_logits[:studied]
    scale = float(np.ptp(clean, axis=1).max())
    change = np.abs(patched.patched_logits - clean[:, None, None, None])
    writes = np.abs(contributions).max(axis=(0, 3)) > NEGLIGIBLE * scale
    matters = change.max(axis=(0, 1, 4)) > NEGLIGIBLE * scale
    earlier = np.zeros_like(writes)
    if explained.earlier is not None:
        earlier = explained.earlier > NEGLIGIBLE * scale
    sets = {
        "output": writes,
        "upstream_last": ~writes & matters,
        "upstream_elsewhere": ~writes & ~matters & earlier,
        "inert": ~writes & ~matters & ~earlier,
    }
    heads = checkpoint.config.heads
    nodes = all_nodes(checkpoint.config.layers, heads)
    found = {
        role: tuple(str(n) for n in nodes if mask[n.layer, n.column(heads)])
        for role, mask in sets.items()
    }
    roles = {role: _names(getattr(truth, role)) for role in sets}
    classes = {f"L{h.layer}H{h.head}": h.name for h in explained.classes}
    planned = {str(node): name for node, name in sorted(truth.classes.items())}
    error = _largest_error(truth, questions, explained, labels) / scale
    return PlantedFound(
        planted=roles,
        found=found,
        classes_planted=planned,
        classes_found=classes,
        largest_error=error,
        agrees=roles == found and planned == classes and error < 1e-4,
    )


def _largest_error(truth, questions, explained, labels) -> float:
    """Largest gap to what follows from the recipe, in logits.

    Of contributions, of sources' contributions, and of logits with a node patched: all
    effects are sums and differences of these.
    """
    study, bank, patched = explained.study, explained.bank, explained.patched
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
