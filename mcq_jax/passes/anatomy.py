"""`dissect`: what each node of a prompt writes to the answers, and where heads look.

Reads a `Prefill` layer by layer, so that no weights are stacked or copied.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from mcq_jax import metrics
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Site
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.direct import answer_directions, output_weights
from mcq_jax.model.parameters import Group, Parameters
from mcq_jax.passes.plan import Held
from mcq_jax.passes.prompt_pass import Prefill


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
class Readout:
    """How prompts' answer logits follow from what is written, all norms held fixed.

    A logit (before any cap) is its offset plus its direction times the residual
    stream; what heads write into that is first multiplied by their layer's scale.
    """

    directions: Float[AnyArray, "prompt choice width"]
    # What the final norm's bias contributes.
    offsets: Float[AnyArray, "prompt choice"]
    # Of the norm behind attention, held at its clean value; 1 without one.
    head_scale: Float[AnyArray, "prompt layer"]


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


def answer_readout(
    parameters: Parameters,
    run: Prefill,
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
) -> Readout:
    """Returns how prompts that have been run read their answers."""
    directions, offsets = answer_directions(
        parameters.unembedding, run.final, answer_ids, config=config
    )
    return Readout(directions=directions, offsets=offsets, head_scale=run.head_scale.T)


def contributions(
    parameters: Parameters,
    nodes: dict[Site, Array],
    readout: Readout,
    *,
    embedding: Float[Array, "prompt width"] | None = None,
    config: ModelConfig,
) -> tuple[Float[Array, "prompt layer node choice"], Float[Array, "prompt choice"]]:
    """Returns the nodes' contributions to the answers, and the rest.

    Args:
        nodes: `[layer, prompt, …]`; of the prompts themselves, or of their sources.
        embedding: at the answer position; left out (None) where only nodes matter.
    """
    start = jnp.zeros_like(nodes[Site.MLP_OUT][0]) if embedding is None else embedding
    parts, rest = [], jnp.asarray(readout.offsets)
    for layer, (group, index) in enumerate(_layers(parameters)):
        here = jax.tree.map(lambda n: n[layer], nodes)  # noqa: B023
        scale = readout.head_scale[:, layer]
        part, more = _contributions(
            group, index, here, start, scale, readout.directions, config
        )
        parts.append(part)
        rest, start = rest + more, jnp.zeros_like(start)
    return jnp.concatenate(parts, axis=1), rest


def dissect(
    parameters: Parameters,
    run: Prefill,
    readout: Readout,
    keys: Keys,
    *,
    key_classes: int,
    config: ModelConfig,
) -> Anatomy:
    """Returns the anatomy of prompts that have been run.

    Args:
        keys: of whole prompts, also where a prefix that all share was run by itself.
    """
    nodes, rest = contributions(
        parameters, run.nodes, readout, embedding=run.embedding, config=config
    )
    before = [()] * len(run.blocks)
    if run.prefix is not None:
        before = [(block.values,) for block in run.prefix.blocks]
    values = [
        (shared, own.values)
        for shared, own in zip(before, run.blocks, strict=True)
        for _ in range(len(own.values))
    ]
    looks = [
        _attention(
            group, index, *values[layer], run.pattern[layer],
            readout.head_scale[:, layer], readout.directions, keys, key_classes, config,
        )
        for layer, (group, index) in enumerate(_layers(parameters))
    ]  # fmt: skip
    labels, content, classes, writes = jax.tree.map(
        lambda *layers: jnp.stack(layers, 1), *looks
    )
    return Anatomy(nodes, rest, labels, content, classes, writes)


def _layers(parameters: Parameters) -> Iterator[tuple[Group, int]]:
    """Every layer as (its segment, its index there)."""
    for group in parameters.layers:
        for index in range(jax.tree.leaves(group)[0].shape[0]):
            yield group, index


def _output_weights(
    group: Group, index: Int[ArrayLike, ""], config: ModelConfig
) -> tuple[Float[Array, "kv_head group head_width width"], Float[Array, " width"]]:
    attention = jax.tree.map(lambda w: w[index], group["attention"])
    return output_weights(attention, config)


@functools.partial(jax.jit, static_argnames="config")
def _contributions(
    group: Group,
    index: Int[ArrayLike, ""],
    nodes: Held,
    embedding: Float[Array, "prompt width"],
    scale: Float[Array, " prompt"],
    directions: Float[Array, "prompt choice width"],
    config: ModelConfig,
) -> tuple[Float[Array, "prompt 1 node choice"], Float[Array, "prompt choice"]]:
    output, bias = _output_weights(group, index, config)

    def one(z, mlp, embedding, scale, directions):
        parts = metrics.node_contributions(
            z[None].astype(jnp.float32) * scale,
            mlp[None],
            embedding,
            output_weights=output[None],
            biases=bias[None] * scale,
            directions=directions,
        )
        return parts.nodes, parts.rest

    z, mlp = nodes[Site.Z], nodes[Site.MLP_OUT]
    return jax.vmap(one)(z, mlp, embedding, scale, directions)


@functools.partial(jax.jit, static_argnames=("key_classes", "config"))
def _attention(
    group: Group,
    index: Int[ArrayLike, ""],
    shared: tuple[Float[Array, "layer 1 _ kv_head head_width"], ...],
    values: Float[Array, "layer prompt _ kv_head head_width"],
    pattern: Float[Array, "prompt kv_head group key"],
    scale: Float[Array, " prompt"],
    directions: Float[Array, "prompt choice width"],
    keys: Keys,
    key_classes: int,
    config: ModelConfig,
) -> list[Float[Array, "prompt head ..."]]:
    """Shares on labels, on options' content, on classes of keys; what values write.

    Args:
        shared: values of a prefix, if there is one.
    """
    output, _ = _output_weights(group, index, config)
    before = [a[index, 0] for a in shared]
    norms_before = [metrics.value_output_norms(a, output) for a in before]

    def one(values, pattern, scale, directions, keys):
        norms = [*norms_before, metrics.value_output_norms(values, output)]
        norms, values = jnp.concatenate(norms, -1), jnp.concatenate([*before, values])
        shares = metrics.value_weighted_attention(pattern, norms)
        label_values = values[keys.label_positions]
        writes = contract(
            "skh,kghw,cw->kgsc",
            label_values.astype(jnp.float32) * scale,
            output,
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

    return jax.vmap(one)(values[index], pattern, scale, directions, keys)
