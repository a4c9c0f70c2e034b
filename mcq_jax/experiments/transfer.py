"""Is it one circuit? What was found on a task is tried on the others.

Every task of the card (its main prompts and `tasks`, prompt sets by name, multiple
choice or pairs) is studied as the main one is: a gate, a fitting and a testing half,
direct effects, a chosen set. Each set is then patched on every task's held-out
questions, beside that task's own, random sets like it, and the next in rank. The
class-mean subspaces of one task's correct-letter heads are kept on the others.

A task that is not multiple choice says which nodes are generic: `word_repetition` has
the same words and no letters.
"""

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import metrics
from mcq_jax.experiments import transfer_subspaces
from mcq_jax.experiments.behaviour import judged
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.joint_tests import choose_nodes, outcome_of
from mcq_jax.experiments.node_effects import bank_of, effects_of, per_node
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.set_patches import TestSets, patch_sets
from mcq_jax.interventions import Node
from mcq_jax.results import (
    SetTransferred,
    TaskFound,
    TasksOverlap,
    TransferFindings,
)

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab

OWN, OTHER, RANDOM, NEXT = "own", "other task", "random", "next best"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer(Experiment):
    """Tries one task's nodes and subspaces on another, both ways."""

    name = "transfer"
    findings = TransferFindings
    needs = ("node_effects",)
    version = 2  # a prefix beyond the total is not enough

    # Names of prompt sets beside the main one; see the card's other_prompts.
    tasks: tuple[str, ...]
    # Share of a task's effect that its nodes' direct effects must reach.
    selection_share: float = 0.8
    # Random sets for each set, and random subspaces for each subspace.
    random_sets: int = 5
    # A set carries over if it restores this share there, and more than random ones.
    carries_over_from: float = 0.5
    permutations: int = 1000
    # The classes' thresholds, as in head_classes.
    thresholds: metrics.Thresholds = metrics.Thresholds()

    def __post_init__(self):
        check_at_least(self, 1, "random_sets")
        check_at_least(self, 20, "permutations")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(
                f"tasks are {self.tasks}; name at least one prompt set of the card's "
                "other_prompts, each once."
            )
        if not 0 < self.selection_share <= 1:
            raise ValueError(
                f"selection_share is {self.selection_share}, a share; give a number "
                "above 0, at most 1."
            )

    def reads(self, config: "RunConfig") -> tuple[str, ...]:
        return self.tasks

    def run(self, lab: "Lab") -> TransferFindings:
        labs = {name: lab.on(name) for name in (lab.config.name, *self.tasks)}
        studied = {name: one for name, one in labs.items() if one.study is not None}
        chosen = {
            name: _choose(one, self.selection_share) for name, one in studied.items()
        }
        return TransferFindings(
            tasks=tuple(_task(name, one, chosen.get(name))
                        for name, one in labs.items()),
            sets=tuple(
                found
                for target, one in studied.items()
                for found in transferred(one, target, chosen, self.random_sets)
            ),
            overlaps=tuple(
                _overlap(studied, chosen, pair, self.permutations)
                for pair in itertools.combinations(studied, 2)
            ),
            subspaces=transfer_subspaces.kept_elsewhere(
                {n: one for n, one in studied.items() if not one.config.are_pairs},
                self.thresholds,
                random_draws=self.random_sets,
            ),
            level=self.carries_over_from,
        )  # fmt: skip


def _choose(lab: "Lab", share: float) -> metrics.Selection:
    effects, bank = effects_of(lab), bank_of(lab)  # on every host
    return lab.decide(
        metrics.Selection,
        lambda: choose_nodes(lab.studied, effects, bank, share=share),
    )


def _task(name: str, lab: "Lab", chosen: metrics.Selection | None) -> TaskFound:
    gate, kept, _ = judged(lab)
    if lab.study is None or chosen is None:
        few = f"; {len(np.unique(kept))} questions are too few to study"
        return TaskFound(
            name=name, gate=gate.reason + few * gate.open, is_studied=False, nodes=(),
            reached=None, questions=0, held_out_questions=0,
        )  # fmt: skip
    study = lab.study
    halves = [np.unique(study.question[half]) for half in _halves(study.choosing)]
    return TaskFound(
        name=name, gate=gate.reason, is_studied=True, nodes=_names(lab, chosen.nodes),
        reached=chosen.share_reached, questions=len(halves[0]),
        held_out_questions=len(halves[1]),
    )  # fmt: skip


def _halves(choosing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return choosing, ~choosing


def _names(lab: "Lab", nodes) -> tuple[str, ...]:
    heads = lab.checkpoint.config.heads
    return tuple(str(Node.at(layer, column, heads)) for layer, column in nodes)


def transferred(
    lab: "Lab", target: str, chosen: dict[str, metrics.Selection], draws: int
) -> list[SetTransferred]:
    """Every task's set on the held-out questions of one, beside its rivals."""
    config = lab.checkpoint.config
    shape = (config.layers, config.nodes)
    named: list[tuple[str, str, tuple]] = []  # source, kind, nodes
    for source, selection in chosen.items():
        own = source == target
        named.append((source, OWN if own else OTHER, selection.nodes))
        drawn = metrics.random_sets(
            selection.nodes, shape=shape, sets=draws, seed=lab.config.seed
        )
        named += [(source, RANDOM, one.nodes) for one in drawn]
        rivals = metrics.next_best(selection)
        if rivals:
            named.append((source, NEXT, rivals))
    every = chosen[target].ranking
    masks = [metrics.node_mask(nodes, shape) for *_, nodes in named]
    sets = TestSets(
        kinds=(*(f"{source}, {kind}" for source, kind, _ in named), "all"),
        masks=np.stack([*masks, metrics.node_mask(every, shape)]),
        kept=np.zeros((len(masks) + 1, *shape), bool),
    )
    table = patch_sets(lab, sets)
    found = []
    for source, kind in dict.fromkeys((source, kind) for source, kind, _ in named):
        members = [
            place for place, (s, k, _) in enumerate(named) if (s, k) == (source, kind)
        ]
        outcome = outcome_of(lab.studied, bank_of(lab), table, members)
        enough, needed = outcome.sufficiency(), outcome.necessity()
        found.append(
            SetTransferred(
                source=source, target=target, kind=kind,
                size=int(masks[members[0]].sum()), sufficiency=enough.ratio,
                necessity=needed.ratio, refused=enough.refused,
            )
        )  # fmt: skip
    return found


def _overlap(
    labs: dict[str, "Lab"],
    chosen: dict[str, metrics.Selection],
    pair: tuple[str, str],
    permutations: int,
) -> TasksOverlap:
    first, second = pair
    direct = [
        per_node(effects_of(labs[name]).direct)[labs[name].studied.choosing].mean(0)
        for name in pair
    ]
    found = metrics.overlap(
        direct[0], direct[1], (chosen[first].nodes, chosen[second].nodes),
        permutations=permutations, seed=labs[first].config.seed,
    )  # fmt: skip
    return TasksOverlap(
        first=first, second=second, shared=_names(labs[first], found.shared),
        jaccard=found.jaccard, jaccard_chance=found.chance,
        jaccard_p=found.jaccard_p, rank_correlation=found.rank_correlation,
        rank_p=found.rank_p,
    )  # fmt: skip
