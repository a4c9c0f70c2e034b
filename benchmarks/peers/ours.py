"""Our engine: one pass over the prompts, then all rows resumed from it."""

import jax
import numpy as np

from benchmarks.peers.task import Contender, Task
from mcq_jax import sweeps


def resumed(task: Task) -> Contender:
    """The sweep as `mcq_jax.sweeps` runs it: rows join as in one of many prompts."""
    parameters, config = task.twins.parameters, task.twins.config
    plan = sweeps.every_node(config)
    start, sources = _prompt_pass(task), _sources(task)

    def sweep():
        run = sweeps.resume(
            parameters, start, sources, plan, config=config, stages=config.layers
        )
        return _answers(task, run.final)

    return Contender(
        name="mcq_jax",
        sweep=sweep,
        nodes=task.nodes,
        prompts=len(task.ids),
        prompt_pass=lambda: jax.block_until_ready(_prompt_pass(task)),
    )


def full_passes(task: Task) -> Contender:
    """Our full forward passes, one per row; a few rows in one batch."""
    parameters, config = task.twins.parameters, task.twins.config
    nodes = task.some_nodes()
    plan = sweeps.node_sets([[node] for node in nodes], config)
    sources = jax.tree.map(lambda a: a[:, :1], _sources(task))

    def sweep():
        final = sweeps.run_fully(
            parameters, task.ids[:1], task.lengths[:1], sources, plan, config=config
        )
        return _answers(task, final)

    return Contender(name="mcq_jax, full passes", sweep=sweep, nodes=nodes, prompts=1)


def _prompt_pass(task: Task) -> sweeps.Prefill:
    return _run(task, task.ids)


def _sources(task: Task) -> sweeps.NodeOutputs:
    return jax.tree.map(lambda a: a[:, :, None], _run(task, task.source_ids).nodes)


def _run(task: Task, ids) -> sweeps.Prefill:
    twins = task.twins
    return sweeps.prefill(twins.parameters, ids, task.lengths, config=twins.config)


def _answers(task: Task, final) -> np.ndarray:
    answers, _ = sweeps.read_answers(
        task.twins.parameters.unembed,
        final,
        task.answer_ids[: len(final)],
        config=task.twins.config,
        full_vocabulary=False,
    )
    return np.asarray(answers[:, 0])
