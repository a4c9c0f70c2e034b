"""Choose nodes on one half of the questions, test them as a set on the other.

Sufficiency: in the source's run, the set writes what it writes for the clean prompt.
Necessity: in the clean run, it writes what it writes for the source. Both at the answer
position, given the prompt's own earlier positions, and against random and next-best
sets.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mcq_jax import metrics, passes
from mcq_jax.experiments.behaviour import Columns
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.node_effects import (
    Bank,
    bank_of,
    effects_of,
    per_node,
)
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Node
from mcq_jax.results import JointFound, JointTestsFindings, SelectionFound
from mcq_jax.sweeps import Direction, patched_logits, sweep_identity

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointTests(Experiment):
    """Tests the chosen nodes as a set, beside random ones and the next in rank."""

    name = "joint_tests"
    findings = JointTestsFindings
    needs = ("node_effects",)

    # Share of net(x) - net(x') that the chosen nodes' direct effects must reach.
    selection_share: float = 0.8
    # Sets of random nodes that the chosen ones are held against.
    random_sets: int = 10

    def __post_init__(self):
        check_at_least(self, 1, "random_sets")
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
            seed=lab.config.seed,
        )
        return JointTestsFindings(
            selection=describe_selection(study, selection, model.heads),
            sets=describe(study, bank, sets, patch_sets(lab, sets)),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestSets:
    """The sets to be tested: one kind and one mask `[layer, node]` each."""

    __test__ = False  # not a test case, whatever pytest thinks of its name

    kinds: tuple[str, ...]
    masks: np.ndarray  # [set, layer, node]


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


def make_sets(
    selection: metrics.Selection,
    shape: tuple[int, int],
    *,
    random_sets: int,
    seed: int,
) -> TestSets:
    """Returns the selected set, its rivals, and the prefixes of the ranking."""
    size = len(selection.nodes)
    random = metrics.random_sets(
        selection.nodes, shape=shape, sets=random_sets, seed=seed
    )
    sizes = sorted({1, 2, size // 4, size // 2, size, 2 * size, 4 * size} - {0})
    sizes = tuple(s for s in sizes if s < len(selection.ranking))
    named = [
        ("selected", selection.nodes),
        ("next_best", metrics.next_best(selection)),
        ("all", selection.ranking),
        *(("random", found.nodes) for found in random),
        *(("cumulative", s) for s in metrics.cumulative_sets(selection.ranking, sizes)),
    ]
    masks = [metrics.node_mask(nodes, shape) for _, nodes in named]
    return TestSets(kinds=tuple(kind for kind, _ in named), masks=np.stack(masks))


def patch_sets(lab: "Lab", sets: TestSets) -> Columns:
    """Returns every test prompt × set, patched both ways."""
    prompts, enough = _patch_all(lab, sets.masks, Direction.DENOISE)
    _, needed = _patch_all(lab, sets.masks, Direction.NOISE)
    return {
        "prompt": np.repeat(prompts, len(sets.masks)),
        "set": np.tile(np.arange(len(sets.masks)), len(prompts)),
        "sufficiency_logits": enough.reshape(-1, enough.shape[-1]),
        "necessity_logits": needed.reshape(-1, needed.shape[-1]),
    }


def _patch_all(
    lab: "Lab", masks: np.ndarray, direction: Direction
) -> tuple[np.ndarray, np.ndarray]:
    """The test prompts, and their answers under each set, `[prompt, set, choice]`.

    Sets are known by their nodes: those that another sweep patched are read from its
    table, and only new ones are patched.
    """
    study = lab.studied
    chunks = [chunk[~study.choosing[chunk]] for chunk in study.chunks]
    chunks = [chunk for chunk in chunks if len(chunk)]
    sources = study.sources.first_kind()
    how: dict[str, Any] = dict(
        metrics={"logits": patched_logits}, direction=direction, full_vocabulary=False
    )
    identity = sweep_identity(
        lab.checkpoint.parameters, study.prompts, passes.NodeSets(masks), sources,
        chunks, lab.checkpoint.content_hash, config=lab.checkpoint.config, **how,
    )  # fmt: skip
    names, prompts = identity["rows"], np.concatenate(chunks)
    by_name: dict[str, np.ndarray] = {}
    for kept, rows in lab.tables_apart_from("rows", "joint_tests", identity):
        if set(rows) & set(names) and not kept.missing_parts(len(chunks)):
            by_name |= _by_set(kept.read()["logits"], rows)
    new = [name for name in dict.fromkeys(names) if name not in by_name]
    if new:
        chosen = masks[[names.index(name) for name in new]]
        table = lab.sweep(
            "joint_tests", passes.NodeSets(chosen), sources, chunks=chunks,
            bank=bank_of(lab).held, track=lab.track("testing sets"), **how,
        )  # fmt: skip
        by_name |= _by_set(table.values["logits"], new)
    return prompts, np.stack([by_name[name] for name in names], axis=1)


def _by_set(logits: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Answers `[prompt, choice]` of each set of a table, whose sets are called so."""
    by_row = logits.reshape(-1, len(names), logits.shape[-1])
    return {name: by_row[:, number] for number, name in enumerate(names)}


def describe(
    study: Study, bank: Bank, sets: TestSets, table: Columns
) -> tuple[JointFound, ...]:
    """Returns recovery per set with intervals; all random sets are pooled."""
    clean, source = _outcomes(study, bank)
    found = []
    groups = [(k, s) for s, k in enumerate(sets.kinds) if k != "random"]
    for kind, members in [*((k, [s]) for k, s in groups), ("random", _random(sets))]:
        rows = np.isin(table["set"], members)
        prompt = table["prompt"][rows]
        gold = study.gold[prompt]
        before = (clean[prompt], source[prompt])
        question = study.question[prompt]
        sufficiency, necessity = (
            recovery(*before, metrics.nets(table[way][rows], gold), question)
            for way, recovery in (
                ("sufficiency_logits", metrics.sufficiency),
                ("necessity_logits", metrics.necessity),
            )
        )
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


def _random(sets: TestSets) -> list[int]:
    return [s for s, kind in enumerate(sets.kinds) if kind == "random"]


def _outcomes(study: Study, bank: Bank) -> tuple[np.ndarray, np.ndarray]:
    """Net logit of every studied prompt, and of its source at the prompt's gold."""
    source = bank.answer_logits[study.sources.index[:, 0]]
    clean = bank.answer_logits[: len(study.gold)]
    return metrics.nets(clean, study.gold), metrics.nets(source, study.gold)
