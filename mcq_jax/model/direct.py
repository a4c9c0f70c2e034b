"""What is written straight to the logits, with all norms held at their own scale.

Held so, a model is linear behind its nodes: a logit is an offset plus a direction times
what was written. Both are read off the model's own last step, not worked out again.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Edit, Site, patch
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.int8 import dequantise
from mcq_jax.model.parameters import Group, Parameters
from mcq_jax.model.run import run_unembed


def answers_only(
    unembedding: Group, ids: Int[AnyArray, " choice"], config: ModelConfig
) -> tuple[Group, ModelConfig]:
    """Returns the unembedding, and its config, of some tokens in place of all."""
    weights = unembedding["~"]
    only: Group = {"~": {**weights, "table": weights["table"][ids]}}
    return only, dataclasses.replace(config, vocabulary=len(ids))


@functools.partial(jax.jit, static_argnames="config")
def answer_directions(
    unembedding: Group,
    final: Float[Array, "prompt width"],
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
) -> tuple[Float[Array, "prompt choice width"], Float[Array, "prompt choice"]]:
    """Returns directions and offsets: logit = offset + direction . residual stream.

    They are the unembedding's derivative at `final`, the scale of its norm held at the
    value that it has there (`FINAL_SCALE`), and what it makes of 0; before any cap.
    """
    linear = dataclasses.replace(config, logit_cap=None)
    final = final.astype(jnp.float32)

    def one(x, ids):
        only, few = answers_only(unembedding, ids, linear)

        def read(x, edits: Sequence[Edit] = (), capture: Sequence[Capture] = ()):
            logits, kept = run_unembed(only, x[None, None], edits, capture, config=few)
            return logits[0, 0], kept

        (scale,) = read(x, capture=(Capture(site=Site.FINAL_SCALE),))[1]
        held = (patch(Site.FINAL_SCALE, scale),)
        directions = jax.jacrev(lambda x: read(x, held)[0])(x)
        return directions, read(jnp.zeros_like(x), held)[0]

    return jax.vmap(one)(final, answer_ids)


def feedforward_output(
    parameters: Parameters, layer: int, config: ModelConfig
) -> Float[Array, "neuron width"]:
    """Returns what each neuron of a layer adds to the residual stream at 1, in float32.

    Without the block's bias; a norm behind the block would make it another in each
    token, and is refused.
    """
    if config.post_norm:
        raise ValueError(
            "single neurons of a model with post_norm=True; what they add depends on "
            "the others. Read the block as a whole."
        )
    (segment,) = parameters.of_layer(layer).layers
    weights = dequantise(jax.tree.map(lambda a: a[0], segment["feedforward"]))
    return weights["down"].astype(jnp.float32)


def output_weights(
    attention: dict[str, Array], config: ModelConfig
) -> tuple[Float[Array, "kv_head group head_width width"], Float[Array, " width"]]:
    """Returns one layer's output matrix and bias in float32, for the residual stream.

    The gain of a norm behind attention is in them; its scale, which differs by token,
    is not.
    """
    weights = dequantise(attention)
    weights = jax.tree.map(lambda w: w.astype(jnp.float32), weights)
    output = weights["output"]
    bias = weights.get("output_bias", jnp.zeros(config.width))
    if config.post_norm:
        gain = weights["post_norm_gain"]
        output, bias = output * gain[None, None, None], bias * gain
    return output, bias
