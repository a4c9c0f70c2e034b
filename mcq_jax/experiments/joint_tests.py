"""Choose nodes on one half of the questions, test them as a set on the other.

Sufficiency: in the source's run, the set writes what it writes for the clean prompt.
Necessity: in the clean run, it writes what it writes for the source. Both at the answer
position, given the prompt's own earlier positions, and against random and next-best
sets.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array

from mcq_jax import metrics, passes, prompts
from mcq_jax.experiments.behaviour import Columns, estimate
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.node_effects import (
    Bank,
    bank_of,
    effects_of,
    per_node,
    resume_in_pieces,
)
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Node
from mcq_jax.results import JointFound, JointTestsFindings, SelectionFound, key_of

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
        selection = lab.decide(
            metrics.Selection,
            lambda: choose_nodes(
                study, effects_of(lab), bank_of(lab), share=self.selection_share
            ),
        )
        sets = make_sets(
            selection,
            (model.layers, model.nodes),
            random_sets=self.random_sets,
            seed=lab.config.seed,
        )
        return JointTestsFindings(
            selection=describe_selection(study, selection, model.heads),
            sets=describe(study, bank_of(lab), sets, patch_sets(lab, sets)),
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
    """Returns every test prompt × set, patched both ways.

    Sets are known by their nodes: those that another call patched already are read, and
    only new ones are patched.
    """
    study = lab.studied
    chunks = [chunk[~study.choosing[chunk]] for chunk in study.chunks]
    chunks = [chunk for chunk in chunks if len(chunk)]
    identity = {**study.identity, "chunks": chunks}
    names = [key_of({"nodes": mask}) for mask in sets.masks]
    by_name: dict[str, Columns] = {}
    for kept, patched in lab.tables_apart_from("sets", "joint_tests", identity):
        if set(patched) & set(names) and not kept.missing_parts(len(chunks)):
            by_name |= _by_set(kept.read(), patched)
    new = [name for name in dict.fromkeys(names) if name not in by_name]
    if new:
        masks = sets.masks[[names.index(name) for name in new]]
        resume = resume_in_pieces(
            lab.checkpoint, study, passes.NodeSets(masks), study.sources.first_kind(),
            chunks,
        )  # fmt: skip
        kept = lab.table("joint_tests", {**identity, "sets": new})
        table = kept.complete(
            chunks,
            functools.partial(
                _patch_chunk, lab.checkpoint, study, bank_of(lab), resume
            ),
            functools.partial(_columns, study, masks),
            track=lab.track("testing sets"),
        )
        by_name |= _by_set(table, new)
    rows = [
        {**by_name[name], "set": np.full(len(by_name[name]["prompt"]), number)}
        for number, name in enumerate(names)
    ]
    return {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}


def _by_set(table: Columns, names: Sequence[str]) -> dict[str, Columns]:
    """The rows of each set of a table, whose sets are called so."""
    return {
        name: {k: column[table["set"] == number] for k, column in table.items()}
        for number, name in enumerate(names)
    }


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
                sufficiency=sufficiency.ratio and estimate(sufficiency.ratio),
                necessity=necessity.ratio and estimate(necessity.ratio),
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


def _patch_chunk(checkpoint, study, bank, resume, chunk) -> dict[str, Array]:
    """Answers with each set patched, both ways, `[prompt, set, choice]`."""
    config, parameters = checkpoint.config, checkpoint.parameters
    source = study.sources.index[chunk, 0]
    among = np.isin(source, chunk).all()  # rotations are each other's sources
    both = chunk if among else np.concatenate([chunk, source])
    batch = prompts.batch_of([study.prompts[i] for i in both])
    run = passes.prefill(parameters, batch.ids, batch.lengths, config=config)
    first = {prompt: place for place, prompt in reversed([*enumerate(both)])}
    clean_place, source_place = (
        np.array([first[i] for i in some]) for some in (chunk, source)
    )
    answers = {}
    for way, start, writes in (
        ("necessity_logits", clean_place, source),
        ("sufficiency_logits", source_place, chunk),
    ):
        patched = resume(run.take(start), bank.sources(writes[:, None]))
        logits, _ = passes.read_answers(
            parameters.unembedding,
            patched.final,
            batch.answer_ids[clean_place],
            config=config,
        )
        answers[way] = logits[:, 0]
    return answers


def _columns(study, masks, chunk, answers) -> Columns:
    """One row per prompt × set, in this order."""
    count = len(masks)
    return {
        "prompt": np.repeat(chunk, count),
        "question": np.repeat(study.question[chunk], count),
        "gold": np.repeat(study.gold[chunk], count),
        "set": np.tile(np.arange(count), len(chunk)),
        "size": np.tile(masks.sum((1, 2)), len(chunk)),
        **{way: a.reshape(-1, a.shape[-1]) for way, a in answers.items()},
    }
