"""Do heads follow the right letter beyond chance, and do their classes last?

Head classes go by thresholds; here every head with enough attention on labels is held
against the largest s of any head and letter under permuted golds, and classed again by
the questions of each half alone. The proto index asks of single-letter heads whether
they have begun to look whether their letter is right.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import metrics
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.head_classes import classes_of, evidence_of
from mcq_jax.experiments.node_effects import bank_of
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.results import HeadKind, HeadKindsFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadKinds(Experiment):
    """Tests which letters heads follow, with a null over all heads, and by halves."""

    name = "head_kinds"
    findings = HeadKindsFindings
    needs = ("head_classes",)

    # Draws of permuted golds.
    permutations: int = 1000
    # The classes' thresholds, as in head_classes.
    thresholds: metrics.Thresholds = metrics.Thresholds()

    def __post_init__(self):
        check_at_least(self, 20, "permutations")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> HeadKindsFindings:
        classes_of(lab, self.thresholds)  # on every host
        return lab.decide(HeadKindsFindings, lambda: _describe(lab, self))


def _describe(lab: "Lab", options: HeadKinds) -> HeadKindsFindings:
    study = lab.studied
    every = np.asarray(bank_of(lab).anatomy.label_attention)
    attention = every[: len(study.gold)]
    found = metrics.following(
        attention,
        study.gold,
        study.question,
        label_mass=options.thresholds.label_mass,
        permutations=options.permutations,
        seed=lab.config.seed,
    )
    classes, evidence = classes_of(lab, options.thresholds)
    by_half = [
        metrics.classify_heads(
            evidence_of(lab, evidence.resampled_direct_effect, prompts=half),
            options.thresholds,
        )
        for half in (study.choosing, ~study.choosing)
    ]
    kinds = []
    for whole, *halves in zip(classes, *by_half, strict=True):
        place = (whole.layer, whole.head)
        if not found.tested[place]:
            continue
        proto = None
        if whole.name == "single_letter":
            [letter] = whole.letters
            own = attention[:, whole.layer, whole.head]
            proto = metrics.proto_index(
                own, study.gold, study.question, letter=letter, seed=lab.config.seed
            )
        kinds.append(
            HeadKind(
                name=f"L{whole.layer}H{whole.head}",
                head_class=whole.name,
                follows=tuple(found.follows[place].tolist()),
                p_value=tuple(found.p_value[place].tolist()),
                class_by_half=(halves[0].name, halves[1].name),
                letter=None if proto is None else whole.letters[0],
                proto_index=proto,
            )
        )
    same, chance = _agreement([kind.class_by_half for kind in kinds])
    return HeadKindsFindings(
        heads=tuple(sorted(kinds, key=lambda kind: min(kind.p_value))),
        threshold=found.threshold,
        tested=int(found.tested.sum()),
        agreement=same,
        chance_agreement=chance,
        questions=len(np.unique(study.question)),
    )


def _agreement(pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """The share of equal pairs, and that of two independent draws of these classes."""
    if not pairs:
        return float("nan"), float("nan")
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    chance = sum(
        float((first == name).mean() * (second == name).mean())
        for name in np.unique(first)
    )
    return float((first == second).mean()), chance
