"""Choose nodes on one half of the questions, test them as a set on the other.

Sufficiency: in the source's run, the set writes what it writes for the clean prompt.
Necessity: in the clean run, it writes what it writes for the source. Both at the answer
position, given the prompt's own earlier positions, and against random and next-best
sets.

A set chosen by direct effect and tested by total effect has good rivals upstream of it:
what they do, they do through the set. Screening off tells them from others: the rivals
are patched while the set is kept at what it writes in the run that is patched, and the
set while the rivals are kept.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import metrics
from mcq_jax.experiments.behaviour import Columns
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.node_effects import (
    Bank,
    bank_of,
    effects_of,
    per_node,
)
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.set_patches import (
    NEXT_BEST_ALONE,
    SELECTED_ALONE,
    TestSets,
    make_sets,
    patch_sets,
)
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Node
from mcq_jax.results import (
    JointFound,
    JointTestsFindings,
    ScreenedFound,
    ScreeningFound,
    SelectionFound,
)

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointTests(Experiment):
    """Tests the chosen nodes as a set, beside random ones and the next in rank."""

    name = "joint_tests"
    findings = JointTestsFindings
    needs = ("node_effects",)
    version = 2  # a prefix beyond the total is not enough

    # Share within which chosen direct effects come to net(x) - net(x').
    selection_share: float = 0.8
    # Sets of random nodes that the chosen ones are held against.
    random_sets: int = 10
    # How many of the first nodes in rank are tested, beside 1, 2 and sizes around the
    # chosen set's.
    sizes: tuple[int, ...] = ()

    def __post_init__(self):
        check_at_least(self, 1, "random_sets")
        if min(self.sizes, default=1) < 1:
            raise ValueError(f"sizes are {self.sizes}; give numbers of nodes from 1.")
        if not 0 < self.selection_share <= 1:
            raise ValueError(
                f"selection_share is {self.selection_share}, a share; give a number "
                "above 0, at most 1."
            )

    def run(self, lab: "Lab") -> JointTestsFindings:
        study, model = lab.studied, lab.checkpoint.config
        effects, bank = effects_of(lab), bank_of(lab)  # on every host
        selection = lab.decide(
            metrics.Selection,
            lambda: choose_nodes(study, effects, bank, share=self.selection_share),
        )
        sets = make_sets(
            selection,
            (model.layers, model.nodes),
            random_sets=self.random_sets,
            sizes=self.sizes,
            seed=lab.config.seed,
        )
        patched = patch_sets(lab, sets)
        return JointTestsFindings(
            selection=describe_selection(study, selection, model.heads),
            sets=describe(study, bank, sets, patched),
            screening=screen_off(study, bank, sets, patched),
        )


def choose_nodes(
    study: Study, effects: metrics.NodeEffects, bank: Bank, *, share: float
) -> metrics.Selection:
    """Returns the smallest set by direct effect, on the choosing prompts."""
    direct = per_node(effects.direct)[study.choosing].mean(axis=0)
    total = source_difference(study, bank)[study.choosing].mean()
    return metrics.select(direct, float(total), share=share)


def source_difference(study: Study, bank: Bank) -> np.ndarray:
    """Returns net(x) - net(x') per studied prompt, at x's gold, for the first kind."""
    clean, source = _outcomes(study, bank)
    return clean - source


def describe(
    study: Study, bank: Bank, sets: TestSets, table: Columns
) -> tuple[JointFound, ...]:
    """Returns recovery per set with intervals; all random sets are pooled."""
    groups = [
        (kind, [place])
        for place, kind in enumerate(sets.kinds)
        if kind not in ("random", NEXT_BEST_ALONE, SELECTED_ALONE)
    ]
    found = []
    for kind, members in [*groups, ("random", sets.of_kind("random"))]:
        outcome = outcome_of(study, bank, table, members)
        sufficiency, necessity = outcome.sufficiency(), outcome.necessity()
        found.append(
            JointFound(
                kind=kind,
                size=int(sets.masks[members[0]].sum()),
                sufficiency=sufficiency.ratio,
                necessity=necessity.ratio,
                refused=sufficiency.refused,
            )
        )
    return tuple(found)


def screen_off(
    study: Study, bank: Bank, sets: TestSets, table: Columns
) -> ScreeningFound | None:
    """Returns what the set and its rivals do with the other kept; None: no rivals."""
    if "next_best" not in sets.kinds:
        return None

    def one(kind: str, kind_alone: str) -> ScreenedFound:
        whole, alone = (
            outcome_of(study, bank, table, sets.of_kind(each))
            for each in (kind, kind_alone)
        )
        # The same ratios, of what the set does otherwise in place of the whole effect.
        restored = dataclasses.replace(alone, clean=whole.denoised)
        taken = dataclasses.replace(alone, source=whole.noised)
        return ScreenedFound(
            sufficiency=alone.sufficiency().ratio,
            necessity=alone.necessity().ratio,
            sufficiency_left=restored.sufficiency().ratio,
            necessity_left=taken.necessity().ratio,
        )

    return ScreeningFound(
        next_best=one("next_best", NEXT_BEST_ALONE),
        selected=one("selected", SELECTED_ALONE),
    )


def describe_selection(
    study: Study, selection: metrics.Selection, heads: int
) -> SelectionFound:
    """Returns what was chosen, by its nodes' names."""
    choosing = set(study.question[study.choosing].tolist())
    testing = set(study.question[~study.choosing].tolist())
    return SelectionFound(
        nodes=tuple(str(Node.at(*node, heads)) for node in selection.nodes),
        share=selection.share_asked,
        reached=selection.share_reached,
        is_reached=selection.reached,
        questions=len(choosing),
        held_out_questions=len(testing),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetOutcome:
    """Net logits of the test prompts under some sets, each `[set · prompt]`."""

    clean: np.ndarray
    source: np.ndarray
    denoised: np.ndarray  # the source's run, patched with what the prompt holds
    noised: np.ndarray  # the prompt's run, patched with what the source holds
    question: np.ndarray

    def sufficiency(self) -> metrics.Recovery:
        return metrics.sufficiency(
            self.clean, self.source, self.denoised, self.question
        )

    def necessity(self) -> metrics.Recovery:
        return metrics.necessity(self.clean, self.source, self.noised, self.question)


def outcome_of(
    study: Study, bank: Bank, table: Columns, members: list[int]
) -> SetOutcome:
    """Returns what some sets of a table came to, all their test prompts together."""
    clean, source = _outcomes(study, bank)
    rows = np.isin(table["set"], members)
    prompt = table["prompt"][rows]
    gold = study.gold[prompt]
    return SetOutcome(
        clean=clean[prompt],
        source=source[prompt],
        denoised=metrics.nets(table["sufficiency_logits"][rows], gold),
        noised=metrics.nets(table["necessity_logits"][rows], gold),
        question=study.question[prompt],
    )


def _outcomes(study: Study, bank: Bank) -> tuple[np.ndarray, np.ndarray]:
    """Net logit of every studied prompt, and of its source at the prompt's gold."""
    source = bank.answer_logits[study.sources.index[:, 0]]
    clean = bank.answer_logits[: len(study.gold)]
    return metrics.nets(clean, study.gold), metrics.nets(source, study.gold)
