"""How much attention each token of a text gets from those that come later."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Site
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.run import run_embed, run_layers


def attention_received(
    parameters: Parameters,
    tokens: Int[AnyArray, "text position"],
    readers: Bool[np.ndarray, "text position"],
    *,
    config: ModelConfig,
) -> Float[Array, "text layer head position"]:
    """Returns the mean attention that readers pay to each earlier token.

    What a token pays to itself does not count. Summed over some tokens it is the share
    of a reader's attention that lies on those of them that it has behind it.

    Args:
        tokens: padded on the right.
        readers: which tokens look; no padding. At least one in every text.
    """
    empty = np.flatnonzero(~np.asarray(readers).any(axis=1))
    if len(empty):
        raise ValueError(
            f"texts {empty.tolist()} have no reader; name at least one token of each."
        )
    tokens = jnp.asarray(tokens)
    places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x, _ = run_embed(parameters.embed, tokens, places, config=config)
    wishes = [Capture(site=Site.PATTERN)]
    [pattern] = run_layers(
        parameters, x, places, config=config, capture=wishes
    ).captured
    return _by_key(pattern, jnp.asarray(readers))


@jax.jit
def _by_key(
    pattern: Float[Array, "layer text kv_head group query key"],
    readers: Bool[Array, "text query"],
) -> Float[Array, "text layer head key"]:
    earlier = jnp.tril(jnp.ones((readers.shape[1],) * 2), -1)
    weights = readers.astype(jnp.float32)
    weights = weights / weights.sum(axis=1, keepdims=True)
    found = jnp.einsum(
        "ltkgqp,tq,qp->tlkgp", pattern.astype(jnp.float32), weights, earlier,
        precision="highest",
    )  # fmt: skip
    texts, layers, kv_heads, groups, keys = found.shape
    return found.reshape(texts, layers, kv_heads * groups, keys)
