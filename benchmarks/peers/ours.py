"""Our engine: passes over a few prompts, then all of their rows resumed from it."""

import jax
import numpy as np

from benchmarks.peers.task import Contender, Task
from mcq_jax import passes, sweeps

# Prompts side by side, as is the default of `sweep`.
_AT_ONCE = 4


def resumed(task: Task) -> Contender:
    """The sweep as `mcq_jax.sweeps` runs it: rows join as in one of many prompts."""
    parameters, config = task.twins.parameters, task.twins.config
    plan, sources = sweeps.every_node(config), _sources(task)
    chunks = [slice(i, i + _AT_ONCE) for i in range(0, len(task.ids), _AT_ONCE)]

    def run_prompts():
        return [_run(task, task.ids[chunk]) for chunk in chunks]

    starts = run_prompts()

    def sweep():
        found = []
        for chunk, start in zip(chunks, starts, strict=True):
            held = jax.tree.map(lambda a: a[:, chunk], sources)  # noqa: B023
            run = passes.resume(
                parameters, start, held, plan, config=config, repeats=50
            )
            found.append(_answers(task, run.final, chunk))
        return np.concatenate(found)

    return Contender(
        name="mcq_jax",
        sweep=sweep,
        nodes=task.nodes,
        prompts=len(task.ids),
        prompt_pass=lambda: jax.block_until_ready(run_prompts()),
    )


def full_passes(task: Task) -> Contender:
    """Our full forward passes, one per row; a few rows in one batch."""
    parameters, config = task.twins.parameters, task.twins.config
    nodes = task.some_nodes()
    plan = sweeps.node_sets([[node] for node in nodes], config)
    sources = jax.tree.map(lambda a: a[:, :1], _sources(task))

    def sweep():
        final = passes.run_fully(
            parameters, task.ids[:1], task.lengths[:1], sources, plan, config=config
        )
        return _answers(task, final, slice(1))

    return Contender(name="mcq_jax, full passes", sweep=sweep, nodes=nodes, prompts=1)


def _sources(task: Task) -> passes.Held:
    nodes = _run(task, task.source_ids).nodes
    return {site: a[:, :, None, None] for site, a in nodes.items()}


def _run(task: Task, ids) -> passes.Prefill:
    twins = task.twins
    lengths = task.lengths[: len(ids)]  # which are all the same
    return passes.prefill(twins.parameters, ids, lengths, config=twins.config)


def _answers(task: Task, final, chunk: slice) -> np.ndarray:
    answers, _ = passes.read_answers(
        task.twins.parameters.unembedding,
        final,
        task.answer_ids[chunk],
        config=task.twins.config,
        full_vocabulary=False,
    )
    return np.asarray(answers[:, 0])
