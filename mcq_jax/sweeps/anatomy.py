"""`dissect`: what each node of a prompt writes to the answers, and where heads look.

Reads a `Prefill` layer by layer, so that no weights are stacked or copied.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import metrics
from mcq_jax.axes import AnyArray
from mcq_jax.model.config import ModelConfig, Norm
from mcq_jax.model.int8 import dequantise
from mcq_jax.model.parameters import Parameters
from mcq_jax.sweeps.prompt_pass import NodeOutputs, Prefill


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Keys:
    """What stands where in a batch of prompts; as in `prompts.TokenBatch`."""

    label_positions: Int[AnyArray, "prompt choice"]
    key_class: Int[AnyArray, "prompt position"]
    key_option: Int[AnyArray, "prompt position"]
    # Whether a token is part of an option's content.
    is_content: Bool[AnyArray, "prompt position"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Anatomy:
    """Clean prompts taken apart at the answer position, in logits and shares."""

    # Each node's direct contribution to each answer logit at the clean norm scale.
    contributions: Float[AnyArray, "prompt layer node choice"]
    # What the embedding and the biases contribute.
    rest: Float[AnyArray, "prompt choice"]
    # Value-weighted attention: share on each label, option content, kind of token.
    label_attention: Float[AnyArray, "prompt layer head choice"]
    content_attention: Float[AnyArray, "prompt layer head choice"]
    class_attention: Float[AnyArray, "prompt layer head key_class"]
    # What the value at each label would write to each answer at attention 1.
    label_writes: Float[AnyArray, "prompt layer head choice answer"]


def answer_directions(
    parameters: Parameters,
    final: Float[Array, "prompt width"],
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
) -> Float[Array, "prompt choice width"]:
    """Returns each prompt's directions towards its answers at its own norm scale."""
    unembed = parameters.unembed["~"]
    gain = unembed.get("norm_gain", jnp.ones(config.width, final.dtype))
    wide = final.astype(jnp.float32)
    scale = jnp.ones(len(final))
    if config.norm is Norm.RMS:
        scale = jnp.sqrt(jnp.mean(wide * wide, -1) + config.norm_epsilon)
    vectors = unembed["table"][answer_ids]
    over_prompts = jax.vmap(metrics.answer_directions, in_axes=(0, None, 0))
    return over_prompts(vectors, gain, scale)


def contributions(
    parameters: Parameters,
    nodes: NodeOutputs,
    directions: Float[Array, "prompt choice width"],
    *,
    embedding: Float[Array, "prompt width"] | None = None,
    config: ModelConfig,
) -> tuple[Float[Array, "prompt layer node choice"], Float[Array, "prompt choice"]]:
    """Returns the nodes' contributions to the answers, and the rest.

    Args:
        nodes: `[layer, prompt, …]`; of the prompts themselves, or of their sources.
        embedding: at the answer position; left out (None) where only nodes matter.
    """
    start = jnp.zeros_like(nodes.mlp[0]) if embedding is None else embedding
    parts, rest = [], jnp.zeros(directions.shape[:2])
    for layer, (group, index) in enumerate(_layers(parameters)):
        here = jax.tree.map(lambda n: n[layer], nodes)  # noqa: B023
        part, more = _contributions(group, index, here, start, directions, config)
        parts.append(part)
        rest, start = rest + more, jnp.zeros_like(start)
    return jnp.concatenate(parts, axis=1), rest


def dissect(
    parameters: Parameters,
    run: Prefill,
    directions: Float[Array, "prompt choice width"],
    keys: Keys,
    *,
    key_classes: int,
    config: ModelConfig,
) -> Anatomy:
    """Returns the anatomy of prompts that have been run."""
    nodes, rest = contributions(
        parameters, run.nodes, directions, embedding=run.embedding, config=config
    )
    values = [
        (blocks.values, index)
        for blocks in run.blocks
        for index in range(blocks.values.shape[0])
    ]
    looks = [
        _attention(
            group["attention"]["output"], index, *values[layer], run.pattern[layer],
            directions, keys, key_classes,
        )
        for layer, (group, index) in enumerate(_layers(parameters))
    ]  # fmt: skip
    labels, content, classes, writes = jax.tree.map(
        lambda *layers: jnp.stack(layers, 1), *looks
    )
    return Anatomy(nodes, rest, labels, content, classes, writes)


def _layers(parameters: Parameters):
    """Every layer as (its segment, its index there)."""
    for group in parameters.layers:
        for index in range(jax.tree.leaves(group)[0].shape[0]):
            yield group, index


@functools.partial(jax.jit, static_argnames="config")
def _contributions(group, index, nodes, embedding, directions, config):
    attention = dequantise(jax.tree.map(lambda w: w[index], group["attention"]))
    bias = attention.get("output_bias", jnp.zeros(config.width, nodes.mlp.dtype))

    def one(z, mlp, embedding, directions):
        parts = metrics.node_contributions(
            z[None],
            mlp[None],
            embedding,
            output_weights=attention["output"][None],
            biases=bias[None],
            directions=directions,
        )
        return parts.nodes, parts.rest

    return jax.vmap(one)(nodes.z, nodes.mlp, embedding, directions)


@functools.partial(jax.jit, static_argnames="key_classes")
def _attention(
    output, index, values, value_index, pattern, directions, keys, key_classes
):
    output = dequantise(jax.tree.map(lambda w: w[index], output))
    values = values[value_index]

    def one(values, pattern, directions, keys):
        norms = metrics.value_output_norms(values, output)
        shares = metrics.value_weighted_attention(pattern, norms)
        label_values = values[keys.label_positions]
        writes = jnp.einsum(
            "skh,kghw,cw->kgsc",
            label_values.astype(jnp.float32),
            output.astype(jnp.float32),
            directions,
        )
        choices = directions.shape[0]
        by_head = (
            metrics.share_on_labels(shares, keys.label_positions),
            metrics.share_by_option(
                shares, keys.key_option, keys.is_content, choices=choices
            ),
            metrics.share_by_class(shares, keys.key_class, classes=key_classes),
            writes,
        )
        return [a.reshape(-1, *a.shape[2:]) for a in by_head]

    return jax.vmap(one)(values, pattern, directions, keys)
