"""`prefill`: run each prompt once and keep what resumed rows start from."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

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
    # What the norm behind attention multiplies by; 1 without one.
    head_scale: Float[Array, "layer prompt"]
    final: Float[Array, "prompt width"]

    def take(self, prompts: Int[np.ndarray, " prompt"]) -> "Prefill":
        """Returns the same for some of the prompts, in the order given."""
        by_layer = (
            self.blocks, self.resid_pre, self.nodes, self.pattern, self.head_scale,
        )  # fmt: skip
        blocks, resid_pre, nodes, pattern, head_scale = jax.tree.map(
            lambda a: a[:, prompts], by_layer
        )
        return Prefill(
            blocks=blocks,
            answer_position=self.answer_position[prompts],
            embedding=self.embedding[prompts],
            resid_pre=resid_pre,
            nodes=nodes,
            pattern=pattern,
            head_scale=head_scale,
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
    sites = [Site.RESID_PRE, Site.Z, Site.MLP_OUT, Site.PATTERN]
    sites += [Site.ATTN_OUT_SCALE] * config.post_norm
    capture = tuple(Capture(site=site, positions=at_answer) for site in sites)
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x, _ = run_embed(parameters.embed, tokens, positions, config=config)
    run = run_layers(
        parameters, x, positions, config=config, capture=capture, keep_blocks=True
    )
    resid_pre, z, mlp, pattern, *scales = run.captured
    no_scale = jnp.ones((config.layers, tokens.shape[0]))
    rows = jnp.arange(tokens.shape[0])
    return Prefill(
        blocks=run.blocks,
        answer_position=answer_position,
        embedding=x[rows, answer_position],
        resid_pre=resid_pre[:, :, 0],
        nodes=NodeOutputs(z=z[:, :, 0], mlp=mlp[:, :, 0]),
        pattern=pattern[:, :, :, :, 0],
        head_scale=scales[0][:, :, 0, 0] if scales else no_scale,
        final=run.residual[rows, answer_position],
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
    x, _ = run_embed(parameters.embed, tokens, positions, config=config)
    x = run_layers(parameters, x, positions, config=config).residual
    final = x[jnp.arange(len(last)), last]
    return read_answers(
        parameters.unembed, final, jnp.asarray(answer_ids), config=config
    )


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

    Full-vocabulary logits exist for `chunk` rows at a time only.
    """
    prompts, *rows, width = final.shape
    choices = answer_ids.shape[1]
    ids = answer_ids.reshape(prompts, *(1,) * len(rows), choices)
    ids = jnp.broadcast_to(ids, (prompts, *rows, choices)).reshape(-1, choices)

    def read(row):
        x, ids = row
        logits = transformer.unembed.apply(group, x[None], (), (), config)[0][0]
        return logits[ids], jax.nn.logsumexp(logits)

    flat = final.reshape(-1, width)
    answers, normaliser = jax.lax.map(read, (flat, ids), batch_size=chunk)
    return (
        answers.reshape(prompts, *rows, choices),
        normaliser.reshape(prompts, *rows),
    )
