"""E2, E4: choose nodes on one half of the questions, test them as a set on the other.

Sufficiency: in the source's run, the set writes what it writes for the clean prompt.
Necessity: in the clean run, it writes what it writes for the source. Both at the answer
position, given the prompt's own earlier positions, and against random and next-best
sets.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Array

from mcq_jax import metrics, passes
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.behaviour import estimate
from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.node_effects import Bank, per_node, resume_in_pieces
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.study import Study
from mcq_jax.prompts import batch_of
from mcq_jax.results import JointFound, RunFolder


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
    selection: metrics.Selection, shape: tuple[int, int], config: RunConfig
) -> TestSets:
    """Returns the selected set, its rivals, and the prefixes of the ranking."""
    size = len(selection.nodes)
    random = metrics.random_sets(
        selection.nodes, shape=shape, sets=config.random_sets, seed=config.seed
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


def patch_sets(
    checkpoint: Checkpoint,
    study: Study,
    bank: Bank,
    sets: TestSets,
    folder: RunFolder,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Returns the table `joint`: every test prompt × set, patched both ways."""
    chunks = [chunk[~study.choosing[chunk]] for chunk in study.chunks]
    chunks = [chunk for chunk in chunks if len(chunk)]
    headline = study.sources.first_kind()
    resume = resume_in_pieces(
        checkpoint, study, passes.NodeSets(sets.masks), headline, chunks
    )
    kept = folder.table("joint", {**study.identity, "masks": sets.masks})
    return kept.complete(
        chunks,
        functools.partial(_patch_chunk, checkpoint, study, bank, resume),
        functools.partial(_columns, study, sets),
        track=functools.partial(progress.track, name="testing sets"),
    )


def describe(
    study: Study, bank: Bank, sets: TestSets, table: dict[str, np.ndarray]
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
    prompts = chunk if among else np.concatenate([chunk, source])
    batch = batch_of([study.prompts[i] for i in prompts])
    run = passes.prefill(parameters, batch.ids, batch.lengths, config=config)
    first = {prompt: place for place, prompt in reversed([*enumerate(prompts)])}
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


def _columns(study, sets, chunk, answers) -> dict[str, np.ndarray]:
    """One row per prompt × set, in this order."""
    count = len(sets.kinds)
    return {
        "prompt": np.repeat(chunk, count),
        "question": np.repeat(study.question[chunk], count),
        "gold": np.repeat(study.gold[chunk], count),
        "set": np.tile(np.arange(count), len(chunk)),
        "kind": np.tile(np.array(sets.kinds), len(chunk)),
        "size": np.tile(sets.masks.sum((1, 2)), len(chunk)),
        **{way: a.reshape(-1, a.shape[-1]) for way, a in answers.items()},
    }
