"""What prompts answer: their logits, and the log-sum-exp over the vocabulary."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import sharding
from mcq_jax.axes import AnyArray
from mcq_jax.model import first_nonfinite, transformer, work
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.direct import answers_only
from mcq_jax.model.parameters import Group, Parameters
from mcq_jax.passes.prefix_tree import levels_of
from mcq_jax.passes.shared_prefix import Prefix
from mcq_jax.passes.tree_pass import run_tree


def answer_prompts(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
    prefix: Prefix | None = None,
    repeats: int = 1,
) -> tuple[Float[Array, "prompt choice"], Float[Array, " prompt"]]:
    """Returns answer logits and log-sum-exp of plain prompts; nothing is kept.

    What prompts have in common is run once where that pays (`prefix_tree`). Where
    answers are not finite, the error says in which layer and at which site they first
    were not.

    Args:
        prefix: what comes before all prompts and was run already; tokens and lengths
            are those behind it.
        repeats: how often a pass like this will be run.
    """
    levels = levels_of(tokens, lengths, config, repeats=repeats)
    run = run_tree(parameters, levels, config=config, prefix=prefix)
    last = jnp.asarray(levels[-1].lengths) - 1
    logits, normaliser = read_answers(
        parameters.unembedding,
        pick_position(run.layers.residual, last),
        jnp.asarray(answer_ids),
        config=config,
    )
    assert normaliser is not None
    if not isinstance(logits, Tracer):
        are_finite = jnp.isfinite(logits).all(-1) & jnp.isfinite(normaliser)
        everywhere = sharding.on_every_host(are_finite)
        if not everywhere.all() and prefix is not None:
            before = jnp.tile(prefix.tokens, (len(tokens), 1))
            tokens = jnp.concatenate([before, tokens], axis=1)
            lengths = np.asarray(lengths) + prefix.length
        check_finite(parameters, tokens, lengths, everywhere, config)
    return logits, normaliser


def check_finite(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    are_finite: Bool[np.ndarray, " prompt"],
    config: ModelConfig,
) -> None:
    """Raises ValueError for prompts that came out NaN or infinite, and says where.

    The first of them is run again, to name the layer, the site and the token.
    """
    bad = np.flatnonzero(~are_finite)
    if len(bad):
        own = np.asarray(tokens)[bad[:1], : int(lengths[bad[0]])]
        found = first_nonfinite(parameters, own, config=config)
        found = found and dataclasses.replace(found, row=int(bad[0]))
        raise ValueError(
            f"{len(bad)} of {len(are_finite)} prompts have answers that are no finite "
            f"numbers. {found or ''}"
        )


@jax.jit
def pick_position(
    x: Float[Array, "prompt position width"], positions: Int[Array, " prompt"]
) -> Float[Array, "prompt width"]:
    """Each prompt's residual at one position, where the prompt lies."""
    return jax.vmap(lambda x, position: x[position])(x, positions)


def read_answers(
    group: Group,
    final: Float[Array, "prompt *rows width"],
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
    chunk: int = 256,
    full_vocabulary: bool = True,
) -> tuple[Float[Array, "prompt *rows choice"], Float[Array, "prompt *rows"] | None]:
    """Returns the answers' logits and the log-sum-exp over the whole vocabulary.

    Full-vocabulary logits exist for `chunk` rows of a device at a time only; without
    `full_vocabulary` not at all, and there is no log-sum-exp. Chunks are of
    rows and hold every prompt, since prompts lie on different devices.
    """
    prompts, *rows, _ = final.shape
    if full_vocabulary:
        tokens = prompts * math.prod(rows)
        work.note_unembedded(final, tokens=tokens, of_rows=len(rows) > 0)
    return _read_answers(
        group, final, answer_ids, config=config, chunk=chunk,
        full_vocabulary=full_vocabulary,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=("config", "chunk", "full_vocabulary"))
def _read_answers(group, final, answer_ids, *, config, chunk, full_vocabulary):
    prompts, *rows, width = final.shape
    choices = answer_ids.shape[1]

    def read(x, ids):
        logits = transformer.unembed.apply(group, x[None], (), (), config)[0][0]
        return logits[ids], jax.nn.logsumexp(logits)

    def read_answers_only(x, ids):
        only, few = answers_only(group, ids, config)
        return transformer.unembed.apply(only, x[None], (), (), few)[0][0], None

    def read_prompt(rows, ids):
        size = max(1, chunk * sharding.data_parts() // prompts)
        one = read if full_vocabulary else read_answers_only
        return jax.lax.map(lambda row: one(row, ids), rows, batch_size=size)

    flat = sharding.rows_over_data(final.reshape(prompts, -1, width))
    answers, normaliser = jax.vmap(read_prompt)(flat, answer_ids)
    return (
        answers.reshape(prompts, *rows, choices),
        None if normaliser is None else normaliser.reshape(prompts, *rows),
    )
