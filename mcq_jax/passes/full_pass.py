"""The same rows by full forward passes: the oracle of the resumed pass.

Slow, and free of its assumptions: whatever a patch changes, a full pass shows.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import sharding
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Edit, Site
from mcq_jax.model import ModelConfig, Parameters, forward
from mcq_jax.passes.plan import Held, Plan


def run_fully(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    sources: Held,
    plan: Plan,
    *,
    config: ModelConfig,
) -> Float[Array, "prompt source row width"]:
    """Returns what `resume` returns as `final`, one full forward pass per row.

    Arguments are those of `resume`, with tokens in place of a pass over them.
    """
    count = jax.tree.leaves(sources)[0].shape[2]
    shape = (len(lengths), count, len(plan.births), config.width)
    final = np.zeros(shape, np.float32)
    last = np.asarray(lengths)[:, None] - 1
    at_answer = Capture(site=Site.FINAL_RESID, positions=jnp.asarray(last))
    runs = _runs(parameters, tokens, lengths, sources, plan, at_answer, config)
    for prompt, source, rows, found in runs:
        final[prompt, source, rows] = found[:, 0]
    return jnp.asarray(final)


def see_fully(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    sources: Held,
    plan: Plan,
    capture: Sequence[Capture],
    *,
    config: ModelConfig,
) -> tuple[Array, ...]:
    """Returns what `resume` returns as `seen`, one more pass per row and capture."""
    count = jax.tree.leaves(sources)[0].shape[2]
    seen = []
    for wish in capture:
        whole = None
        runs = _runs(parameters, tokens, lengths, sources, plan, wish, config)
        for prompt, source, rows, found in runs:
            if whole is None:
                layers, _, *axes = found.shape
                shape = (layers, len(lengths), count, len(plan.births), *axes)
                whole = np.zeros(shape, np.float32)
            whole[:, prompt, source, rows] = found
        seen.append(jnp.asarray(whole))
    return tuple(seen)


def _runs(
    parameters, tokens, lengths, sources: Held, plan: Plan, wish: Capture, config
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Prompt, source, rows, and what is captured in their full passes."""
    count = jax.tree.leaves(sources)[0].shape[2]
    for prompt, length in enumerate(np.asarray(lengths)):
        own = prompt
        mine = jax.tree.map(lambda a: jnp.asarray(a)[own % len(a)][None], wish)  # noqa: B023
        for source in range(count):
            for batch in plan.full_edits(sources, prompt, source, length, config):
                rows = (len(batch.rows), tokens.shape[1])
                repeated = jnp.broadcast_to(jnp.asarray(tokens)[prompt], rows)
                edits = [_padded(edit, tokens.shape[1]) for edit in batch.edits]
                run = forward(
                    parameters, repeated, edits, config=config, capture=[mine]
                )
                found = sharding.on_every_host(run.activations[wish.site])
                yield prompt, source, batch.rows, found


def _padded(edit: Edit, tokens: int) -> Edit:
    """The edit with readers for every token; padding does not read."""
    if edit.readers is None or edit.readers.shape[2] == 1:
        return edit
    behind = tokens - edit.readers.shape[2]
    around = [(0, behind if axis == 2 else 0) for axis in range(edit.readers.ndim)]
    return dataclasses.replace(edit, readers=jnp.pad(edit.readers, around))
