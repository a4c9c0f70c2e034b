"""`prefill`: run each prompt once and keep what resumed rows start from."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import sharding
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Site
from mcq_jax.model import transformer
from mcq_jax.model.attention import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.parameters import Group, Parameters
from mcq_jax.model.run import run_embed, run_layers


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NodeOutputs:
    """What every node writes at the answer position; the value of every patch.

    The prompts' own outputs form a bank: prompts are each other's sources.
    """

    # What each head reads, before the output projection.
    z: Float[AnyArray, "layer *prompt kv_head group head_width"]
    mlp: Float[AnyArray, "layer *prompt width"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prefill:
    """One pass over a batch of prompts."""

    # Keys and values of all tokens, `[n, prompt, key, …]` per segment.
    blocks: tuple[Block, ...]
    # The answer position of each prompt: its last token.
    answer_position: Int[Array, " prompt"]
    # The rest is at the answer position.
    embedding: Float[Array, "prompt width"]
    resid_pre: Float[Array, "layer prompt width"]
    nodes: NodeOutputs
    pattern: Float[Array, "layer prompt kv_head group key"]
    final: Float[Array, "prompt width"]

    def take(self, prompts: Int[np.ndarray, " prompt"]) -> "Prefill":
        """Returns the same for some of the prompts, in the order given."""
        by_layer = (self.blocks, self.resid_pre, self.nodes, self.pattern)
        blocks, resid_pre, nodes, pattern = jax.tree.map(
            lambda a: a[:, prompts], by_layer
        )
        return Prefill(
            blocks=blocks,
            answer_position=self.answer_position[prompts],
            embedding=self.embedding[prompts],
            resid_pre=resid_pre,
            nodes=nodes,
            pattern=pattern,
            final=self.final[prompts],
        )


def prefill(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    *,
    config: ModelConfig,
) -> Prefill:
    """Runs right-padded prompts and keeps their blocks and answer positions."""
    tokens, answer_position = jnp.asarray(tokens), jnp.asarray(lengths) - 1
    at_answer = answer_position[:, None]
    sites = (Site.RESID_PRE, Site.Z, Site.MLP_OUT, Site.PATTERN)
    capture = tuple(Capture(site=site, positions=at_answer) for site in sites)
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x, _ = run_embed(parameters.embed, tokens, config=config)
    run = run_layers(
        parameters, x, positions, config=config, capture=capture, keep_blocks=True
    )
    resid_pre, z, mlp, pattern = run.captured
    return Prefill(
        blocks=run.blocks,
        answer_position=answer_position,
        embedding=_pick(x, answer_position),
        resid_pre=resid_pre[:, :, 0],
        nodes=NodeOutputs(z=z[:, :, 0], mlp=mlp[:, :, 0]),
        pattern=pattern[:, :, :, :, 0],
        final=_pick(run.residual, answer_position),
    )


def answer_prompts(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
) -> tuple[Float[Array, "prompt choice"], Float[Array, " prompt"]]:
    """Returns answer logits and log-sum-exp of plain prompts; nothing is kept."""
    tokens, last = jnp.asarray(tokens), jnp.asarray(lengths) - 1
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x, _ = run_embed(parameters.embed, tokens, config=config)
    x = run_layers(parameters, x, positions, config=config).residual
    return read_answers(
        parameters.unembed, _pick(x, last), jnp.asarray(answer_ids), config=config
    )


@jax.jit
def _pick(
    x: Float[Array, "prompt position width"], positions: Int[Array, " prompt"]
) -> Float[Array, "prompt width"]:
    """Each prompt's residual at one position, where the prompt lies."""
    return jax.vmap(lambda x, position: x[position])(x, positions)


@functools.partial(jax.jit, static_argnames=("config", "chunk"))
def read_answers(
    group: Group,
    final: Float[Array, "prompt *rows width"],
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
    chunk: int = 256,
) -> tuple[Float[Array, "prompt *rows choice"], Float[Array, "prompt *rows"]]:
    """Returns the answers' logits and the log-sum-exp over the whole vocabulary.

    Full-vocabulary logits exist for `chunk` rows at a time only. Prompts go together:
    a loop over them would go from device to device.
    """
    prompts, *rows, width = final.shape

    def read(x, ids):
        logits = transformer.unembed.apply(group, x[None], (), (), config)[0][0]
        return logits[ids], jax.nn.logsumexp(logits)

    def read_prompt(rows, ids):
        size = max(1, chunk // prompts)
        return jax.lax.map(lambda row: read(row, ids), rows, batch_size=size)

    flat = sharding.rows_over_data(final.reshape(prompts, -1, width))
    answers, normaliser = jax.vmap(read_prompt)(flat, answer_ids)
    return (
        answers.reshape(prompts, *rows, answer_ids.shape[1]),
        normaliser.reshape(prompts, *rows),
    )
